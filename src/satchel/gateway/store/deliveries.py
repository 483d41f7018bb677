"""Deliveries and their attempts: begun before the POST, finished after it, so that a crash leaves a trace."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from satchel.gateway.store.tables import deliveries, delivery_attempts, mailboxes, messages, webhooks
from satchel.gateway.webhooks.decision import Decision, DeliveryStatus, Outcome

INTERRUPTED = "interrupted"
WEBHOOK_OFF = "webhook_off"


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    """What a webhook is told of a mailbox: the deliveries that follow each other."""

    webhook_id: str
    mailbox_id: str


@dataclass(frozen=True, slots=True)
class PendingDelivery:
    """A delivery that waits: its next attempt is the `attempt`-th that counts, due at `due_at`."""

    delivery_id: str
    attempt: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class BegunAttempt:
    """What an attempt needs; `number` is its place in the history, `attempt` in the count towards the bound."""

    delivery_id: str
    number: int
    attempt: int
    url: str
    webhook_id: str
    sealed_secret: str | None
    mailbox: str
    message: sa.Row[*tuple[Any, ...]]


def pending_deliveries(
    engine: sa.Engine, *, due_before: datetime, limit: int, lanes: Collection[Lane] | None = None
) -> Sequence[PendingDelivery]:
    """Unfinished deliveries that were due before an instant, the longest due first; of some lanes, or of all."""
    query = sa.select(deliveries.c.id, deliveries.c.attempts, deliveries.c.next_attempt_at).where(
        deliveries.c.status == DeliveryStatus.PENDING, deliveries.c.next_attempt_at < due_before
    )
    if lanes is not None:
        pairs = [(lane.webhook_id, lane.mailbox_id) for lane in lanes]
        query = query.where(sa.tuple_(deliveries.c.webhook_id, deliveries.c.mailbox_id).in_(pairs))
    with engine.connect() as connection:
        found = connection.execute(query.order_by(deliveries.c.next_attempt_at).limit(limit))
        return [PendingDelivery(row.id, row.attempts + 1, row.next_attempt_at) for row in found]


def begin_attempt(engine: sa.Engine, delivery_id: str, attempt: int) -> BegunAttempt | None:
    """Write down that an attempt starts now; None where there is nothing (more) to attempt.

    An attempt that an earlier process began and never finished is closed as interrupted: its outcome is unknown, it
    does not count, and the receiver may see the message twice. A delivery whose webhook is off is cancelled.
    """
    now = datetime.now(UTC)
    with engine.begin() as connection:
        row = _delivery(connection, delivery_id)
        if row is None or row.status != DeliveryStatus.PENDING or row.attempts + 1 != attempt:
            return None
        attempts = sa.and_(delivery_attempts.c.delivery_id == delivery_id, delivery_attempts.c.finished_at.is_(None))
        connection.execute(sa.update(delivery_attempts).where(attempts).values(finished_at=now, error=INTERRUPTED))
        if not row.enabled or row.removed_at is not None:
            _close(connection, delivery_id, status=DeliveryStatus.CANCELLED, finished_at=now, last_error=WEBHOOK_OFF)
            return None
        highest = sa.select(sa.func.max(delivery_attempts.c.number)).where(
            delivery_attempts.c.delivery_id == delivery_id
        )
        number = (connection.scalar(highest) or 0) + 1
        connection.execute(
            sa.insert(delivery_attempts), [{"delivery_id": delivery_id, "number": number, "started_at": now}]
        )
        message = connection.execute(sa.select(messages).where(messages.c.id == row.message_row_id)).one()
        return BegunAttempt(
            delivery_id, number, attempt, row.url, row.webhook_id, row.sealed_secret, row.address, message
        )


def finish_attempt(engine: sa.Engine, begun: BegunAttempt, outcome: Outcome, decision: Decision) -> datetime | None:
    """Write down how an attempt ended and what follows; the time of the next attempt, if there is to be one."""
    now = datetime.now(UTC)
    waiting = decision.status is DeliveryStatus.PENDING
    next_attempt_at = now + timedelta(seconds=decision.wait_seconds) if waiting else None
    with engine.begin() as connection:
        connection.execute(
            sa.update(delivery_attempts)
            .where(delivery_attempts.c.delivery_id == begun.delivery_id, delivery_attempts.c.number == begun.number)
            .values(finished_at=now, status_code=outcome.status, error=decision.error, answer=outcome.answer_text)
        )
        _close(
            connection,
            begun.delivery_id,
            status=decision.status,
            attempts=begun.attempt,
            next_attempt_at=next_attempt_at,
            finished_at=None if waiting else now,
            last_status_code=outcome.status,
            last_error=decision.error,
            last_answer=outcome.answer_text,
        )
    return next_attempt_at


def _delivery(connection: sa.Connection, delivery_id: str) -> sa.Row[*tuple[Any, ...]] | None:
    query = (
        sa.select(
            deliveries.c.status,
            deliveries.c.attempts,
            deliveries.c.message_row_id,
            webhooks.c.url,
            deliveries.c.webhook_id,
            webhooks.c.sealed_secret,
            webhooks.c.enabled,
            webhooks.c.removed_at,
            mailboxes.c.address,
        )
        .join_from(deliveries, webhooks)
        .join(messages, messages.c.id == deliveries.c.message_row_id)
        .join(mailboxes, mailboxes.c.id == messages.c.mailbox_id)
        .where(deliveries.c.id == delivery_id)
    )
    return connection.execute(query).one_or_none()


def _close(connection: sa.Connection, delivery_id: str, **values: object) -> None:
    connection.execute(sa.update(deliveries).where(deliveries.c.id == delivery_id).values(**values))
