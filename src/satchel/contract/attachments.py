"""Attachments as they go over the wire (contract section 6)."""

from datetime import datetime
from enum import StrEnum

import msgspec


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
