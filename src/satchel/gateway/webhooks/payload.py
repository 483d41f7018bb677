"""The webhook's body for a message of the index (contract section 8)."""

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from satchel.contract.events import RECEIVED, MessageEvent, Recipient


def message_event(
    message: sa.Row[*tuple[Any, ...]],
    mailbox: str,
    *,
    body_text: str | None = None,
    custom_fields: Mapping[str, Any] | None = None,
) -> MessageEvent:
    """The event that a message of the index was received. It occurred when the gateway first saw the message.

    Without custom fields, and without a text (None), the event has no such field.
    """
    return MessageEvent(
        id=message.message_id,
        event=RECEIVED,
        internet_message_id=message.internet_message_id,
        received=message.received,
        mailbox=mailbox,
        sender=msgspec.convert(message.sender, Recipient),
        from_=msgspec.convert(message.from_, Recipient),
        to=msgspec.convert(message.to, list[Recipient]),
        cc=msgspec.convert(message.cc, list[Recipient]),
        subject=message.subject,
        has_attachments=message.has_attachments,
        timestamp=message.indexed_at,
        conversation_id=message.conversation_id,
        body_text=body_text,
        custom_fields=dict(custom_fields) if custom_fields else None,
    )
