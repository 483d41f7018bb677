"""The rows of lanes and attempts, in the caller's transaction.

The statements are made once: to put one together takes longer than the database needs for it.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from satchel.gateway.store.deliveries import Lane
from satchel.gateway.store.tables import (
    UtcDateTime,
    deliveries,
    delivery_attempts,
    delivery_lanes,
    mailboxes,
    messages,
    webhooks,
)
from satchel.gateway.webhooks.decision import DeliveryStatus
from satchel.gateway.webhooks.order import ATTEMPTS_IN_ORDER, Candidate

INTERRUPTED = "interrupted"
# Beyond any pause: what waits longer was given its time by a clock that has been put back since.
_LONGEST_PAUSE = timedelta(days=1.5)

Row = sa.Row[*tuple[Any, ...]]


def hold(connection: sa.Connection, lane: Lane, run: int) -> bool:
    """Whether the run is the lane's, which nobody else changes then. A write, because SQLite locks at the first one."""
    return connection.execute(_HOLD, {**_key(lane), "of_run": run}).rowcount == 1


def end_run(connection: sa.Connection, lane: Lane, run: int, look_at: datetime | None) -> None:
    """The run has ended and the next one may begin; somebody has to look by then."""
    connection.execute(_END_RUN, {**_key(lane), "run": run + 1, "due_at": look_at})


def find_webhook(connection: sa.Connection, lane: Lane) -> Row:
    """The lane's webhook, also one that was removed."""
    return connection.execute(_WEBHOOK, {"of_webhook": lane.webhook_id}).one()


def candidates(connection: sa.Connection, lane: Lane, count: int, now: datetime) -> Sequence[Candidate]:
    """The first of the lane that are due or keep their place, so many of them."""
    values = {**_key(lane), "now": now, "too_late": now + _LONGEST_PAUSE, "count": count}
    return [Candidate(*row) for row in connection.execute(_CANDIDATES, values)]


def next_passed(connection: sa.Connection, lane: Lane, now: datetime) -> datetime | None:
    """When the next of those comes that others pass while they wait."""
    found: datetime | None = connection.scalar(_NEXT_PASSED, {**_key(lane), "now": now})
    return found


def find_delivery(connection: sa.Connection, delivery_id: str) -> Row:
    """A delivery with its message and mailbox."""
    return connection.execute(_DELIVERY, {"of_delivery": delivery_id}).one()


def begin_attempt(connection: sa.Connection, delivery_id: str, now: datetime) -> int:
    """Write down that an attempt begins, and close one that never ended; its number."""
    highest, left_open = connection.execute(_ATTEMPTS, {"of_delivery": delivery_id}).one()
    if left_open:
        close_attempts(connection, delivery_attempts.c.delivery_id == delivery_id, now)
    number: int = (highest or 0) + 1
    connection.execute(_BEGIN, {"delivery_id": delivery_id, "number": number, "started_at": now})
    return number


def finish_attempt(connection: sa.Connection, delivery_id: str, number: int, ended: Mapping[str, object]) -> None:
    """Write down how an attempt ended: `finished_at`, `status_code`, `error`, `answer`."""
    connection.execute(_FINISH_ATTEMPT, {"of_delivery": delivery_id, "of_number": number, **ended})


def finish_delivery(connection: sa.Connection, delivery_id: str, values: Mapping[str, object]) -> None:
    """Write down what an attempt has made of a delivery.

    One that was cancelled meanwhile is not tried again; what became of it otherwise is the truth. One that was made
    due anew meanwhile has all its attempts before it, unless this one has delivered it.
    """
    open_status = values["status"] if values["status"] == DeliveryStatus.PENDING else DeliveryStatus.CANCELLED
    connection.execute(_FINISH_DELIVERY, {"of_delivery": delivery_id, "open_status": open_status, **values})


def cancel_waiting(
    connection: sa.Connection,
    webhook_id: str,
    reason: str,
    now: datetime,
    *,
    mailbox_ids: Collection[str] | None = None,
) -> None:
    """Cancel what waits for a webhook, of all mailboxes or of these.

    An attempt that is under way says itself how it ended, and may have delivered.
    """
    is_waiting = sa.and_(deliveries.c.webhook_id == webhook_id, deliveries.c.status == DeliveryStatus.PENDING)
    if mailbox_ids is not None:
        is_waiting = sa.and_(is_waiting, deliveries.c.mailbox_id.in_(mailbox_ids))
    close_attempts(connection, delivery_attempts.c.delivery_id.in_(sa.select(deliveries.c.id).where(is_waiting)), now)
    values = {"status": DeliveryStatus.CANCELLED, "next_attempt_at": None, "finished_at": now, "last_error": reason}
    connection.execute(sa.update(deliveries).where(is_waiting).values(values))


def close_attempts(connection: sa.Connection, which: sa.ColumnElement[bool], now: datetime) -> None:
    """How they ended is not known: an earlier process began them, or nobody waits for them any more."""
    is_open = sa.and_(which, delivery_attempts.c.finished_at.is_(None))
    connection.execute(sa.update(delivery_attempts).where(is_open).values(finished_at=now, error=INTERRUPTED))


def _key(lane: Lane) -> dict[str, object]:
    return {"of_webhook": lane.webhook_id, "of_mailbox": lane.mailbox_id}


def _is_lane(table: sa.Table) -> sa.ColumnElement[bool]:
    is_webhook = table.c.webhook_id == sa.bindparam("of_webhook")
    return sa.and_(is_webhook, table.c.mailbox_id == sa.bindparam("of_mailbox"))


def _instant(name: str) -> sa.BindParameter[datetime]:
    return sa.bindparam(name, type_=UtcDateTime)


_HOLD = (
    sa.update(delivery_lanes)
    .where(_is_lane(delivery_lanes), delivery_lanes.c.run == sa.bindparam("of_run"))
    .values(run=sa.bindparam("of_run"))
)
_END_RUN = (
    sa.update(delivery_lanes)
    .where(_is_lane(delivery_lanes))
    .values(run=sa.bindparam("run"), due_at=sa.bindparam("due_at"))
)
_WEBHOOK = sa.select(webhooks).where(webhooks.c.id == sa.bindparam("of_webhook"))
_IS_WAITING = sa.and_(_is_lane(deliveries), deliveries.c.status == DeliveryStatus.PENDING)
_CANDIDATES = (
    sa.select(deliveries.c.id, deliveries.c.attempts, deliveries.c.next_attempt_at)
    .where(
        _IS_WAITING,
        sa.or_(
            deliveries.c.attempts < ATTEMPTS_IN_ORDER,
            deliveries.c.next_attempt_at <= _instant("now"),
            deliveries.c.next_attempt_at > _instant("too_late"),
        ),
    )
    .order_by(deliveries.c.message_row_id)
    .limit(sa.bindparam("count"))
)
_NEXT_PASSED = sa.select(sa.func.min(deliveries.c.next_attempt_at)).where(
    _IS_WAITING, deliveries.c.attempts >= ATTEMPTS_IN_ORDER, deliveries.c.next_attempt_at > _instant("now")
)
_DELIVERY = (
    sa.select(
        messages,
        mailboxes.c.address,
        deliveries.c.attempts,
        deliveries.c.status,
        deliveries.c.custom_fields,
        deliveries.c.text_missing_since,
    )
    .join_from(deliveries, messages)
    .join(mailboxes, mailboxes.c.id == messages.c.mailbox_id)
    .where(deliveries.c.id == sa.bindparam("of_delivery"))
)
_ATTEMPTS = sa.select(
    sa.func.max(delivery_attempts.c.number),
    sa.func.count().filter(delivery_attempts.c.finished_at.is_(None)),
).where(delivery_attempts.c.delivery_id == sa.bindparam("of_delivery"))
_BEGIN = sa.insert(delivery_attempts).values(
    {name: sa.bindparam(name) for name in ("delivery_id", "number", "started_at")}
)
_FINISH_ATTEMPT = (
    sa.update(delivery_attempts)
    .where(
        delivery_attempts.c.delivery_id == sa.bindparam("of_delivery"),
        delivery_attempts.c.number == sa.bindparam("of_number"),
    )
    .values({name: sa.bindparam(name) for name in ("finished_at", "status_code", "error", "answer")})
)
_OUTCOME = (
    *("status", "attempts", "next_attempt_at", "finished_at"),
    *("last_status_code", "last_error", "last_answer"),
)
_FINISH_DELIVERY = (
    sa.update(deliveries)
    .where(
        deliveries.c.id == sa.bindparam("of_delivery"),
        sa.or_(deliveries.c.status == DeliveryStatus.PENDING, deliveries.c.status == sa.bindparam("open_status")),
        sa.or_(
            deliveries.c.attempts == sa.bindparam("attempts") - 1,
            sa.bindparam("status") == DeliveryStatus.DELIVERED,
        ),
    )
    .values({name: sa.bindparam(name) for name in _OUTCOME})
)
