"""Deliveries that wait, and the lanes they wait in: written down together, so that none is missed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from satchel.gateway.store.tables import deliveries, delivery_lanes, webhooks
from satchel.gateway.webhooks.decision import DeliveryStatus

WEBHOOK_OFF = "webhook_off"
_FIRST_RUN = 1


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    """What a webhook is told of a mailbox: the deliveries that follow each other."""

    webhook_id: str
    mailbox_id: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much waits, since when the oldest of it, and how many webhooks are paused."""

    deliveries: int = 0
    oldest_created_at: datetime | None = None
    paused_webhooks: int = 0


def add_deliveries(connection: sa.Connection, rows: Sequence[Mapping[str, Any]], now: datetime) -> frozenset[Lane]:
    """Write down new deliveries in the caller's transaction, pending and due at once. Their lanes are due then, too."""
    pending = {"status": DeliveryStatus.PENDING, "attempts": 0, "created_at": now, "next_attempt_at": now}
    if rows:
        connection.execute(sa.insert(deliveries), [{**row, **pending} for row in rows])
    lanes = frozenset(Lane(row["webhook_id"], row["mailbox_id"]) for row in rows)
    _make_due(connection, lanes, now)
    return lanes


def make_pending(connection: sa.Connection, delivery_ids: Sequence[str], now: datetime) -> None:
    """Let deliveries begin anew in the caller's transaction, whatever became of them: all attempts are before them."""
    is_one = deliveries.c.id.in_(delivery_ids)
    anew = {"attempts": 0, "next_attempt_at": now, "finished_at": None, "text_missing_since": None}
    connection.execute(sa.update(deliveries).where(is_one).values(status=DeliveryStatus.PENDING, **anew))
    query = sa.select(deliveries.c.webhook_id, deliveries.c.mailbox_id).where(is_one).distinct()
    _make_due(connection, {Lane(*row) for row in connection.execute(query)}, now)


def make_all_due(connection: sa.Connection, webhook_id: str, now: datetime) -> None:
    """Let what waits for a webhook be due in the caller's transaction, whatever its pauses."""
    is_waiting = sa.and_(
        deliveries.c.webhook_id == webhook_id,
        deliveries.c.status == DeliveryStatus.PENDING,
        deliveries.c.next_attempt_at > now,
    )
    connection.execute(sa.update(deliveries).where(is_waiting).values(next_attempt_at=now))
    is_lane = sa.and_(delivery_lanes.c.webhook_id == webhook_id, delivery_lanes.c.due_at.is_not(None))
    connection.execute(sa.update(delivery_lanes).where(is_lane).values(due_at=now))


def find_waiting_lanes(engine: sa.Engine, now: datetime) -> None:
    """Make each lane due in which something waits and nobody would look: what a hand in the database has left."""
    query = sa.select(deliveries.c.webhook_id, deliveries.c.mailbox_id).where(
        deliveries.c.status == DeliveryStatus.PENDING,
        ~sa.exists().where(
            delivery_lanes.c.webhook_id == deliveries.c.webhook_id,
            delivery_lanes.c.mailbox_id == deliveries.c.mailbox_id,
            delivery_lanes.c.due_at.is_not(None),
        ),
    )
    with engine.begin() as connection:
        _make_due(connection, {Lane(*row) for row in connection.execute(query.distinct())}, now)


def due_lanes(engine: sa.Engine, due_by: datetime | None) -> Sequence[Lane]:
    """The lanes that somebody has to look at by an instant (None: ever), the longest due first; none of paused
    webhooks, and all with something left of those that are off."""
    is_due = sa.true() if due_by is None else sa.or_(delivery_lanes.c.due_at <= due_by, _IS_OFF)
    query = sa.select(delivery_lanes.c.webhook_id, delivery_lanes.c.mailbox_id).join_from(delivery_lanes, webhooks)
    query = query.where(delivery_lanes.c.due_at.is_not(None), _IS_AT_WORK, is_due)
    with engine.connect() as connection:
        return [Lane(*row) for row in connection.execute(query.order_by(delivery_lanes.c.due_at))]


def runs_to_begin(engine: sa.Engine, lanes: Collection[Lane]) -> Mapping[Lane, int]:
    """The number of the next run of each lane in which something waits; none of paused webhooks."""
    columns = delivery_lanes.c
    pairs = [(lane.webhook_id, lane.mailbox_id) for lane in lanes]
    query = sa.select(columns.webhook_id, columns.mailbox_id, columns.run).join_from(delivery_lanes, webhooks)
    query = query.where(sa.tuple_(columns.webhook_id, columns.mailbox_id).in_(pairs))
    with engine.connect() as connection:
        found = connection.execute(query.where(columns.due_at.is_not(None), _IS_AT_WORK))
        return {Lane(row.webhook_id, row.mailbox_id): row.run for row in found}


def count_waiting(engine: sa.Engine) -> Waiting:
    """What waits, over all accounts."""
    query = sa.select(sa.func.count(), sa.func.min(deliveries.c.created_at)).where(
        deliveries.c.status == DeliveryStatus.PENDING
    )
    paused = sa.select(sa.func.count()).where(webhooks.c.paused_at.is_not(None), webhooks.c.removed_at.is_(None))
    with engine.connect() as connection:
        count, oldest = connection.execute(query).one()
        return Waiting(count, oldest, connection.scalar(paused) or 0)


_IS_OFF = sa.or_(~webhooks.c.enabled, webhooks.c.removed_at.is_not(None))
# What waits for a webhook that is off is cancelled, paused or not.
_IS_AT_WORK = sa.or_(webhooks.c.paused_at.is_(None), _IS_OFF)


def _make_due(connection: sa.Connection, lanes: Collection[Lane], now: datetime) -> None:
    """After the deliveries, in the same transaction: a run that is ending then either sees them or is seen by them."""
    if lanes:
        insert = sqlite.insert(delivery_lanes)
        key = [delivery_lanes.c.webhook_id, delivery_lanes.c.mailbox_id]
        rows = [
            {"webhook_id": lane.webhook_id, "mailbox_id": lane.mailbox_id, "run": _FIRST_RUN, "due_at": now}
            for lane in sorted(lanes)
        ]
        connection.execute(insert.on_conflict_do_update(index_elements=key, set_={"due_at": now}), rows)
