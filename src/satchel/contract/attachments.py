"""Attachments as they go over the wire (contract section 6)."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from satchel.contract.foreign import moment


class AttachmentType(StrEnum):
    """The three kinds that clients tell apart; only a `FILE` can be downloaded."""

    FILE = "fileAttachment"
    REFERENCE = "referenceAttachment"
    ITEM = "itemAttachment"


class Attachment(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One attachment of a message.

    `id` is opaque and goes into a URL path as it is. `name` is the original file name and may be hostile.
    `content_type` is lower case without parameters. `size` is in bytes. The optional fields are there where the
    source knows them.
    """

    id: str
    name: str
    content_type: str
    size: int
    attachment_type: str
    is_inline: bool | None = None
    content_id: str | None = None
    last_modified: datetime | None = None

    @property
    def is_file(self) -> bool:
        return self.attachment_type == AttachmentType.FILE


class AttachmentList(msgspec.Struct, frozen=True):
    """The whole answer of the list call: never paginated."""

    attachments: list[Attachment]


class _Listed(msgspec.Struct, frozen=True, rename="camel"):
    """An attachment as some server lists it: Graph's `null`s and fields of other meanings get through to here."""

    id: str
    attachment_type: str
    name: str | None = None
    content_type: str | None = None
    size: int | None = None
    is_inline: Any = None
    content_id: Any = None
    last_modified: Any = None


class _ListedAll(msgspec.Struct, frozen=True):
    attachments: list[_Listed]


# What databases and file systems hold; a number beyond it is no size.
_MAX_SIZE = 2**63 - 1


def decode_attachments(body: bytes) -> list[Attachment]:
    """The list call's answer, with every gap of a foreign server filled. Raises ValueError where it is no such list."""
    try:
        listed = msgspec.json.decode(body, type=_ListedAll).attachments
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no list of attachments: {error}") from None
    return [_complete(each) for each in listed]


def _complete(listed: _Listed) -> Attachment:
    content_type = (listed.content_type or "").partition(";")[0].strip().lower()
    return Attachment(
        id=listed.id,
        name=listed.name or "",
        content_type=content_type or "application/octet-stream",
        size=min(max(0, listed.size or 0), _MAX_SIZE),
        attachment_type=listed.attachment_type,
        is_inline=listed.is_inline if isinstance(listed.is_inline, bool) else None,
        content_id=listed.content_id if isinstance(listed.content_id, str) else None,
        last_modified=moment(listed.last_modified),
    )
