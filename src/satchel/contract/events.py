"""The webhook's payload and the answer expected to it (contract section 8)."""

from datetime import UTC, datetime
from typing import Any

import msgspec

RECEIVED = "received"


class EmailAddress(msgspec.Struct, frozen=True):
    """A display name, which may be empty, and an address."""

    name: str = ""
    address: str = ""


class Recipient(msgspec.Struct, frozen=True, rename="camel"):
    """The wrapping that the wire puts around each address."""

    email_address: EmailAddress = EmailAddress()


class MessageEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One delivery's body. `id` is the `messageId` of the attachment calls; `event` may be a value not known here."""

    id: str
    event: str
    internet_message_id: str
    received: datetime
    mailbox: str
    sender: Recipient
    from_: Recipient = msgspec.field(name="from")
    to: list[Recipient]
    cc: list[Recipient]
    subject: str
    has_attachments: bool
    timestamp: datetime
    conversation_id: str
    body_text: str | None = None
    custom_fields: dict[str, Any] | None = None


class _Incoming(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A delivery as some server sends it: a message may lack a sender or a subject, an unknown event nearly all."""

    id: str
    event: str
    internet_message_id: str | None = None
    received: datetime | None = None
    mailbox: str | None = None
    sender: Recipient | None = None
    from_: Recipient | None = msgspec.field(name="from", default=None)
    to: list[Recipient] | None = None
    cc: list[Recipient] | None = None
    subject: str | None = None
    has_attachments: bool | None = None
    timestamp: datetime | None = None
    conversation_id: str | None = None
    body_text: str | None = None
    custom_fields: dict[str, Any] | None = None


_EPOCH = datetime.fromtimestamp(0, UTC)


def decode_event(body: bytes) -> MessageEvent:
    """A delivery's body. Only `id` and `event` must be there; whatever else is missing or null comes out empty.

    An instant that is missing is taken from the other one, or is the epoch. Raises ValueError where it is no event.
    """
    try:
        told = msgspec.json.decode(body, type=_Incoming)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no event: {error}") from None
    if not told.id:
        raise ValueError("no event: its id is empty")
    return MessageEvent(
        id=told.id,
        event=told.event,
        internet_message_id=told.internet_message_id or "",
        received=_aware(told.received or told.timestamp or _EPOCH),
        mailbox=told.mailbox or "",
        sender=told.sender or Recipient(),
        from_=told.from_ or Recipient(),
        to=told.to or [],
        cc=told.cc or [],
        subject=told.subject or "",
        has_attachments=bool(told.has_attachments),
        timestamp=_aware(told.timestamp or told.received or _EPOCH),
        conversation_id=told.conversation_id or "",
        body_text=told.body_text,
        custom_fields=told.custom_fields,
    )


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


class ReceiverAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a receiver answers with HTTP 200. Any `status` but `success` is a logical failure, not retried."""

    status: str
    message: str = ""
    actions: list[Any] | None = None

    @property
    def succeeded(self) -> bool:
        return self.status == "success"


def success(message: str) -> ReceiverAnswer:
    return ReceiverAnswer(status="success", message=message)


def failure(message: str) -> ReceiverAnswer:
    return ReceiverAnswer(status="error", message=message)
