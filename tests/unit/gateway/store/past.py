"""Deliveries as earlier hours have left them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from satchel.gateway.store.audit import Acting
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.tables import deliveries, delivery_attempts, messages, webhooks
from satchel.gateway.webhooks.decision import DeliveryStatus
from tests.unit.gateway.fakes import MAILBOX

LONG_AGO = datetime(2026, 3, 1, tzinfo=UTC)


def indexed(engine: sa.Engine, message_id: str, mailbox_id: str) -> int:
    """The number of a message that is in the index."""
    values = {
        "message_id": message_id,
        "mailbox_id": mailbox_id,
        "locator": "file",
        "internet_message_id": "<m@example.test>",
        "conversation_id": "c",
        "received": LONG_AGO,
        "sender": {},
        "from_": {},
        "to": [],
        "cc": [],
        "subject": "Invoice",
        "has_attachments": True,
        "readable": True,
        "indexed_at": LONG_AGO,
    }
    with engine.begin() as connection:
        number: int = connection.execute(sa.insert(messages).returning(messages.c.id), [values]).scalar_one()
        return number


def delivered(engine: sa.Engine, webhook_id: str, message_id: str, **changes: Any) -> str:
    """The id of a delivery of a message of its own, which was delivered at once long ago unless that is changed."""
    with engine.connect() as connection:
        account_id = connection.execute(
            sa.select(webhooks.c.account_id).where(webhooks.c.id == webhook_id)
        ).scalar_one()
    mailbox_id = add_mailbox(engine, changes.pop("mailbox", MAILBOX), acting=Acting(account_id)).mailbox_id
    number = indexed(engine, message_id, mailbox_id)
    status = changes.get("status", DeliveryStatus.DELIVERED)
    created_at = changes.get("created_at", LONG_AGO + timedelta(minutes=number))
    is_waiting = status is DeliveryStatus.PENDING
    row = {
        "id": f"delivery-{message_id}",
        "webhook_id": webhook_id,
        "mailbox_id": mailbox_id,
        "message_row_id": number,
        "status": status,
        "attempts": 0 if is_waiting else 1,
        "created_at": created_at,
        "next_attempt_at": created_at if is_waiting else None,
        "finished_at": None if is_waiting else created_at,
    }
    with engine.begin() as connection:
        connection.execute(sa.insert(deliveries), [row | changes])
    return str(row["id"])


def attempted(engine: sa.Engine, delivery_id: str, number: int, *, ended: bool = True, **values: Any) -> None:
    """One more attempt of a delivery."""
    row = {
        "delivery_id": delivery_id,
        "number": number,
        "started_at": LONG_AGO,
        "finished_at": LONG_AGO + timedelta(seconds=1) if ended else None,
    }
    with engine.begin() as connection:
        connection.execute(sa.insert(delivery_attempts), [row | values])


def statuses(engine: sa.Engine) -> dict[str, str]:
    with engine.connect() as connection:
        return {row.id: row.status for row in connection.execute(sa.select(deliveries.c.id, deliveries.c.status))}
