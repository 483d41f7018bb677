"""The webhook's payload and the answer expected to it (contract section 8)."""

from datetime import datetime
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
