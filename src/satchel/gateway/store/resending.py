"""Deliveries that people want sent again: which can be, and made due once more."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from satchel.gateway.audit.actions import Action
from satchel.gateway.store.audit import Acting, write_acts
from satchel.gateway.store.deliveries import make_pending
from satchel.gateway.store.history import JOINED, Asked, DeliveryRow, conditions, find_delivery
from satchel.gateway.store.tables import deliveries, webhook_mailboxes, webhooks
from satchel.gateway.webhooks.decision import DeliveryStatus

_BATCH = 500
UNDELIVERED = (DeliveryStatus.FAILED, DeliveryStatus.REJECTED)


class CannotResend(ValueError):
    """A delivery that cannot be sent again as things are; the message says what would have to change."""


def resend(
    engine: sa.Engine, delivery_ids: Sequence[str], *, account_id: str | None, actor: str
) -> Sequence[DeliveryRow]:
    """Send these again, all or none: each is due now with all its attempts before it, under the same `webhook-id`.

    Raises UnknownDelivery; CannotResend where the webhook was removed, is off, or may no longer know of the mailbox.
    """
    now = datetime.now(UTC)
    found = [find_delivery(engine, delivery_id, account_id).delivery for delivery_id in dict.fromkeys(delivery_ids)]
    with engine.begin() as connection:
        for row in found:
            _refuse_unless_sendable(connection, row)
        for start in range(0, len(found), _BATCH):
            _send_again(connection, [row.delivery_id for row in found[start : start + _BATCH]], actor, now)
    return [find_delivery(engine, row.delivery_id).delivery for row in found]


@dataclass(frozen=True, slots=True)
class Undelivered:
    """How many deliveries could be sent again, and how many not, since their webhooks are off or gone."""

    sendable: int
    others: int


def count_undelivered(engine: sa.Engine, asked: Asked) -> Undelivered:
    """Of what is meant, the failed and rejected ones."""
    query = sa.select(_IS_SENDABLE, sa.func.count()).select_from(JOINED)
    query = query.where(*conditions(asked), deliveries.c.status.in_(UNDELIVERED)).group_by(_IS_SENDABLE)
    with engine.connect() as connection:
        counts = {bool(is_sendable): count for is_sendable, count in connection.execute(query)}
    return Undelivered(counts.get(True, 0), counts.get(False, 0))


def resend_undelivered(engine: sa.Engine, asked: Asked, *, actor: str) -> int:
    """Send again what has failed or was rejected and can be sent, in batches; how many it were."""
    sent = 0
    # What fails again meanwhile is not sent a second time.
    ended_before = deliveries.c.finished_at < datetime.now(UTC)
    query = sa.select(deliveries.c.id).select_from(JOINED).where(*conditions(asked), ended_before)
    query = query.where(deliveries.c.status.in_(UNDELIVERED), _IS_SENDABLE)
    while True:
        with engine.begin() as connection:
            found = connection.scalars(query.order_by(deliveries.c.message_row_id).limit(_BATCH)).all()
            _send_again(connection, found, actor, datetime.now(UTC))
        sent += len(found)
        if len(found) < _BATCH:
            return sent


_ALLOWED = (
    sa.exists()
    .where(
        webhook_mailboxes.c.webhook_id == deliveries.c.webhook_id,
        webhook_mailboxes.c.mailbox_id == deliveries.c.mailbox_id,
    )
    .correlate(deliveries)
)
_IS_SENDABLE = sa.and_(webhooks.c.removed_at.is_(None), webhooks.c.enabled, _ALLOWED)


def _refuse_unless_sendable(connection: sa.Connection, row: DeliveryRow) -> None:
    query = sa.select(webhooks.c.removed_at, webhooks.c.enabled, _ALLOWED.label("is_allowed"))
    query = query.join_from(deliveries, webhooks).where(deliveries.c.id == row.delivery_id)
    found = connection.execute(query).one()
    if found.removed_at is not None:
        raise CannotResend(
            f"{row.delivery_id}: its webhook was removed. Add one for its mailbox; what arrives from then on is sent, "
            "and what is in the index can be asked for in a report."
        )
    if not found.enabled:
        raise CannotResend(
            f"{row.delivery_id}: its webhook is off. Switch it on first: "
            f"satchel gateway webhooks enable {row.webhook_id}"
        )
    if not found.is_allowed:
        raise CannotResend(
            f"{row.delivery_id}: its webhook may no longer be told of the mailbox. Allow that first: "
            f"satchel gateway webhooks change {row.webhook_id} --add-mailbox {row.mailbox}"
        )


def _send_again(connection: sa.Connection, delivery_ids: Sequence[str], actor: str, now: datetime) -> None:
    """One act for each in the audit trail, in its own account."""
    make_pending(connection, delivery_ids, now)
    owners = sa.select(webhooks.c.account_id, deliveries.c.id).join_from(deliveries, webhooks)
    by_account: dict[str, list[str]] = defaultdict(list)
    for account_id, delivery_id in connection.execute(owners.where(deliveries.c.id.in_(delivery_ids))):
        by_account[account_id].append(delivery_id)
    for account_id, ids in by_account.items():
        write_acts(connection, Acting(account_id, actor), Action.DELIVERY_RESENT, ids, now)
