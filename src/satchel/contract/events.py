"""The webhook's payload and the answer expected to it (contract section 8)."""

from datetime import datetime
from typing import Annotated, Any

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


_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]


class _Address(msgspec.Struct, frozen=True):
    address: str | None = None


class _Sender(msgspec.Struct, frozen=True, rename="camel"):
    email_address: _Address | None = None


class IncomingEvent(msgspec.Struct, frozen=True, rename="camel"):
    """What a receiver reads of an event. Only what its work needs must be there: senders may add, and leave out.

    What is null counts as left out: a refusal is final, so it would lose the message for a sender that nobody knows.
    `received` is the wire's text.
    """

    id: _Id
    event: str
    has_attachments: bool | None = None
    mailbox: str | None = None
    received: str | None = None
    sender: _Sender | None = None

    @property
    def sender_address(self) -> str | None:
        known = self.sender.email_address if self.sender is not None else None
        return known.address if known is not None else None


def decode_event(body: bytes) -> IncomingEvent:
    """A delivery's body. Raises ValueError where it is no event: no JSON, or without an id and an event."""
    try:
        return msgspec.json.decode(body, type=IncomingEvent)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("no event: JSON with an id and an event is expected") from None


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
