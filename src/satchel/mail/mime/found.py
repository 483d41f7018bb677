"""What the reader finds in a message: attachments by byte offset, as values."""

from dataclasses import dataclass
from enum import StrEnum

from satchel.contract.attachments import AttachmentType


class Encoding(StrEnum):
    """How a body is written in the message (RFC 2045 section 6); unknown encodings are read as they stand."""

    IDENTITY = "identity"
    BASE64 = "base64"
    QUOTED_PRINTABLE = "quoted-printable"
    UUENCODE = "uuencode"


@dataclass(frozen=True, slots=True)
class FoundAttachment:
    """One attachment: where its encoded body is, and what the message says of it.

    `path` is the position in the tree as IMAP numbers it ("2.1"; a uuencoded block in a text body adds ".u1").
    `name` is never empty and free of control characters, and otherwise as hostile as the mail made it. `content_type`
    is lower case without parameters. `start` and `stop` are byte offsets in the file. `content_id` has no angle
    brackets. `is_inline` says that an HTML body of the message shows the part by its `cid:`. `fingerprint` is a
    SHA-256 over the raw header block, the path and the encoded length: it changes when the part does.
    """

    path: str
    name: str
    content_type: str
    kind: AttachmentType
    encoding: Encoding
    start: int
    stop: int
    content_id: str | None
    is_inline: bool
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class MessageStructure:
    """The message's own raw header block, and its attachments in the message's order."""

    header: bytes
    attachments: tuple[FoundAttachment, ...]
