"""Messages and attachments as Graph lists them, made into ours. Pure: any JSON gives values, or an error that says so.

Of a field that is missing, null or of another type, what is said is that it is not known; only an id must be there.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from satchel.contract.attachments import Attachment, AttachmentType
from satchel.contract.events import EmailAddress, Recipient
from satchel.contract.foreign import moment, text
from satchel.mail.graph.errors import unusable
from satchel.mail.graph.ids import Place, is_graph_id, public_id
from satchel.mail.mime.names import clean, made_up_name
from satchel.mail.source import MessageSummary

# The cast is needed, because only file attachments have a contentId (Graph: attachment resource type).
ATTACHMENT_FIELDS = "id,name,contentType,size,isInline,lastModifiedDateTime,microsoft.graph.fileAttachment/contentId"
MESSAGE_FIELDS = (
    "id,internetMessageId,conversationId,receivedDateTime,createdDateTime,sender,from,toRecipients,ccRecipients,subject"
)

_TYPES = {
    "#microsoft.graph.fileAttachment": AttachmentType.FILE,
    "#microsoft.graph.itemAttachment": AttachmentType.ITEM,
    "#microsoft.graph.referenceAttachment": AttachmentType.REFERENCE,
}
_UNKNOWN_TYPE = "application/octet-stream"
# RFC 6838 section 4.2.
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
# What databases and file systems hold; a number beyond it is no size.
_MAX_SIZE = 2**63 - 1
_MOST_RECIPIENTS = 10_000
# Graph does not number parts, and a name must be the same in a list and alone.
_ONLY_PART = "1"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class WireAttachment(msgspec.Struct, frozen=True, rename="camel"):
    """An attachment as Graph lists it."""

    id: str
    odata_type: Any = msgspec.field(name="@odata.type", default=None)
    name: Any = None
    content_type: Any = None
    size: Any = None
    is_inline: Any = None
    content_id: Any = None
    last_modified_date_time: Any = None


class WireMessage(msgspec.Struct, frozen=True, rename="camel"):
    """A message as Graph gives it, without its body."""

    id: str
    internet_message_id: Any = None
    conversation_id: Any = None
    received_date_time: Any = None
    created_date_time: Any = None
    sender: Any = None
    from_: Any = msgspec.field(name="from", default=None)
    to_recipients: Any = None
    cc_recipients: Any = None
    subject: Any = None


def attachments(listed: Sequence[WireAttachment]) -> list[Attachment]:
    """The attachments in the list's order; `is_inline` is Graph's flag. Raises `SourceUnavailable`."""
    return [attachment(each) for each in listed]


def attachment(listed: WireAttachment) -> Attachment:
    """One attachment.

    Its size is that in the store, larger than the file; the name is clean of control characters and else as hostile
    as it came. Raises `SourceUnavailable` for an id that could not be asked for.
    """
    if not is_graph_id(listed.id):
        raise unusable("the id of an attachment is none")
    content_type = media_type(listed.content_type)
    name = clean(text(listed.name))
    return Attachment(
        id=public_id(listed.id),
        name=name if name.strip() else made_up_name(_ONLY_PART, content_type),
        content_type=content_type,
        size=_size(listed.size),
        attachment_type=_kind(listed.odata_type).value,
        is_inline=listed.is_inline if isinstance(listed.is_inline, bool) else None,
        content_id=_content_id(listed.content_id),
        last_modified=moment(listed.last_modified_date_time),
    )


def without_flag(each: Attachment) -> Attachment:
    """The attachment without Graph's own word on whether it is inline, which is sometimes wrong."""
    return msgspec.structs.replace(each, is_inline=None)


def summary(message: WireMessage, mailbox: str, *, has_attachments: bool) -> MessageSummary:
    """The envelope. A draft has no sender and may never have been received. Raises `SourceUnavailable`."""
    ref = place(message).ref(mailbox)
    return MessageSummary(
        ref=ref,
        internet_message_id=clean(text(message.internet_message_id)),
        conversation_id=text(message.conversation_id) or ref.message_id,
        received=received(message) or _LONG_AGO,
        sender=_recipient(message.sender) or _recipient(message.from_) or Recipient(),
        from_=_recipient(message.from_) or _recipient(message.sender) or Recipient(),
        to=_recipients(message.to_recipients),
        cc=_recipients(message.cc_recipients),
        subject=clean(text(message.subject)),
        has_attachments=has_attachments,
    )


def received(message: WireMessage) -> datetime | None:
    """When it came, or was made; None where Graph says neither."""
    return moment(message.received_date_time) or moment(message.created_date_time)


def place(message: WireMessage) -> Place:
    """Where the message is. Raises `SourceUnavailable` for an id that could not be asked for."""
    if not is_graph_id(message.id):
        raise unusable("the id of a message is none")
    at = moment(message.received_date_time)
    return Place(message.id, text(message.internet_message_id), None if at is None else int(at.timestamp()))


def media_type(value: Any) -> str:
    """Lower case, without parameters; of what is no media type, that it is not known."""
    bare = text(value).partition(";")[0].strip().lower()
    return bare if _MEDIA_TYPE.fullmatch(bare) else _UNKNOWN_TYPE


def _kind(odata_type: Any) -> AttachmentType:
    # A kind that Graph may have one day is not downloadable until somebody has looked at it.
    return AttachmentType.FILE if odata_type is None else _TYPES.get(text(odata_type), AttachmentType.ITEM)


def _content_id(value: Any) -> str | None:
    return clean(text(value)).strip().removeprefix("<").removesuffix(">").strip() or None


def _size(value: Any) -> int:
    return min(max(0, value), _MAX_SIZE) if isinstance(value, int) and not isinstance(value, bool) else 0


def _recipients(value: Any) -> tuple[Recipient, ...]:
    found = [_recipient(each) for each in value[:_MOST_RECIPIENTS]] if isinstance(value, list) else []
    return tuple(each for each in found if each is not None)


def _recipient(value: Any) -> Recipient | None:
    inner = value.get("emailAddress") if isinstance(value, dict) else None
    if not isinstance(inner, dict):
        return None
    address = EmailAddress(clean(text(inner.get("name"))), clean(text(inner.get("address"))))
    return Recipient(address) if address.name or address.address else None
