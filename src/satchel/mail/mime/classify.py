"""Decides what a part is: body or attachment, file, item or reference, and how its body is encoded."""

import html
import re
from itertools import islice
from urllib.parse import unquote

from satchel.contract.attachments import AttachmentType
from satchel.mail.mime.charsets import decode_text
from satchel.mail.mime.found import Encoding
from satchel.mail.mime.names import clean, given_name
from satchel.mail.mime.scan import Part

_BODY_TYPES = frozenset({"text/plain", "text/html"})
_ITEM_TYPES = frozenset({"message/rfc822", "message/global"})
_ENCODINGS = {
    "base64": Encoding.BASE64,
    "quoted-printable": Encoding.QUOTED_PRINTABLE,
    "x-uuencode": Encoding.UUENCODE,
    "x-uue": Encoding.UUENCODE,
    "uuencode": Encoding.UUENCODE,
}
_ENCODING_TOKEN = re.compile(rb"[\"'\s]*([A-Za-z0-9-]+)")
# A text made of nothing else would be read for seconds.
_MOST_REFERENCES = 10_000
_CONTENT_REFERENCE = re.compile(rb"""cid:([^"'\s<>)]{1,998})""", re.IGNORECASE)


def part_name(part: Part) -> str | None:
    """The name that the mail gives to the part, if it gives one."""
    charset = part.type_parameters.get("charset")
    label = decode_text(charset) if charset else None
    return given_name(part.disposition.parameters, part.type_parameters, label)


def is_attachment(part: Part, name: str | None) -> bool:
    """Whether a part is an attachment and not a container or a text that the message shows as its body.

    Follows RFC 8621 section 4.1.4 for text that has a name, and RFC 2183 section 2.8, by which an unknown disposition
    is an attachment.
    """
    if part.is_multipart:
        return False
    if part.content_type not in _BODY_TYPES or part.disposition.value not in ("", "inline"):
        return True
    if part.parent is None or part.position == 0 or part.parent.content_type == "multipart/alternative":
        return False
    return name is not None


def kind(part: Part) -> AttachmentType:
    """Which of the contract's three kinds an attachment is."""
    if part.content_type in _ITEM_TYPES:
        return AttachmentType.ITEM
    # Thunderbird's FileLink (2012 on) marks the stand-in for an uploaded file with this header.
    if part.content_type == "message/external-body" or part.fields.get("x-mozilla-cloud-part"):
        return AttachmentType.REFERENCE
    return AttachmentType.FILE


def encoding(part: Part) -> Encoding:
    """The part's transfer encoding; an unknown or a malformed one is read as it stands (RFC 2045 section 6.4)."""
    match = _ENCODING_TOKEN.match(part.fields.get("content-transfer-encoding", b""))
    return _ENCODINGS.get(match[1].decode("ascii").lower(), Encoding.IDENTITY) if match else Encoding.IDENTITY


def content_id(part: Part) -> str | None:
    """The Content-ID without its angle brackets; None where there is none."""
    raw = part.fields.get("content-id", b"").strip()
    text = clean(decode_text(raw.removeprefix(b"<").removesuffix(b">"))).strip()
    return text or None


def content_references(body: bytes) -> set[str]:
    """The content ids that a piece of HTML shows by `cid:` (RFC 2392), of the first 10,000 places where it does."""
    places = islice(_CONTENT_REFERENCE.finditer(body), _MOST_REFERENCES)
    return {html.unescape(unquote(decode_text(match[1]))) for match in places}
