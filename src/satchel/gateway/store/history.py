"""The history of deliveries as people ask for it: listed, shown, exported, and removed when it is old."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from satchel.gateway.store.tables import (
    accounts,
    deliveries,
    delivery_attempts,
    mailboxes,
    messages,
    webhooks,
)
from satchel.gateway.store.webhooks import UnknownWebhook
from satchel.gateway.webhooks.decision import DeliveryStatus

_BATCH = 500


class UnknownDelivery(LookupError):
    """No delivery has this id, or it has been removed for its age."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a delivery. Without `finished_at` it is under way, or was when the gateway was cut off."""

    number: int
    started_at: datetime
    finished_at: datetime | None
    status_code: int | None
    error: str | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as it stands; `account` and `webhook` are names. `attempts` are those that count towards its end.

    `webhook_paused` says that a pending one waits for its webhook to be resumed.
    """

    delivery_id: str
    account: str
    webhook_id: str
    webhook: str
    webhook_paused: bool
    mailbox: str
    message_id: str
    rule_id: str | None
    status: DeliveryStatus
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None
    last_status_code: int | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """A delivery with all its attempts, also those that a stop of the gateway cut off."""

    delivery: DeliveryRow
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which deliveries are meant: those for which all holds. `since` and `until` are about when they began."""

    account_id: str | None = None
    webhook_ids: Collection[str] | None = None
    mailbox: str | None = None
    statuses: Collection[DeliveryStatus] = field(default=())
    message_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    finished_since: datetime | None = None


def list_deliveries(engine: sa.Engine, asked: Asked, limit: int) -> Sequence[DeliveryRow]:
    """The newest deliveries that are meant, so many at most, the newest last."""
    query = _DELIVERIES.where(*conditions(asked)).order_by(deliveries.c.created_at.desc(), deliveries.c.id.desc())
    with engine.connect() as connection:
        return [_row(found) for found in reversed(connection.execute(query.limit(limit)).all())]


def find_delivery(engine: sa.Engine, delivery_id: str, account_id: str | None = None) -> Told:
    """A delivery with its attempts. Raises UnknownDelivery."""
    query = _DELIVERIES.where(deliveries.c.id == delivery_id, *conditions(Asked(account_id)))
    with engine.connect() as connection:
        found = connection.execute(query).one_or_none()
        if found is None:
            raise UnknownDelivery(
                f"There is no delivery {delivery_id!r}. Those there are: satchel gateway deliveries list"
            )
        return _with_attempts(connection, [_row(found)])[0]


def export_deliveries(engine: sa.Engine, asked: Asked) -> Iterator[Told]:
    """All deliveries that are meant, oldest first, with their attempts; a few at a time, however many there are.

    What begins while this is read may be among them or not; each delivery comes once, as it stood when its turn came.
    """
    order = sa.tuple_(deliveries.c.created_at, deliveries.c.id)
    query = _DELIVERIES.where(*conditions(asked)).order_by(deliveries.c.created_at, deliveries.c.id).limit(_BATCH)
    behind: sa.ColumnElement[bool] = sa.true()
    while True:
        with engine.connect() as connection:
            told = _with_attempts(connection, [_row(found) for found in connection.execute(query.where(behind))])
        yield from told
        if len(told) < _BATCH:
            return
        last = told[-1].delivery
        behind = order > sa.tuple_(
            sa.literal(last.created_at, deliveries.c.created_at.type), sa.literal(last.delivery_id)
        )


def webhooks_called(engine: sa.Engine, identifier: str, account_id: str | None = None) -> Sequence[str]:
    """Ids of the webhooks with this id or name, the removed ones too. Raises UnknownWebhook where there is none."""
    query = sa.select(webhooks.c.id).where(sa.or_(webhooks.c.id == identifier, webhooks.c.name == identifier))
    if account_id is not None:
        query = query.where(webhooks.c.account_id == account_id)
    with engine.connect() as connection:
        found = connection.scalars(query).all()
    if not found:
        raise UnknownWebhook(f"No webhooks are called {identifier!r}: satchel gateway webhooks list")
    return found


def remove_deliveries(engine: sa.Engine, before: datetime, limit: int) -> int:
    """Remove deliveries that ended before an instant, with their attempts, so many at most; how many it were."""
    oldest = sa.select(deliveries.c.id).where(
        deliveries.c.finished_at < before, deliveries.c.status != DeliveryStatus.PENDING
    )
    oldest = oldest.order_by(deliveries.c.finished_at).limit(limit)
    with engine.begin() as connection:
        return connection.execute(sa.delete(deliveries).where(deliveries.c.id.in_(oldest))).rowcount


JOINED = (
    deliveries.join(webhooks)
    .join(accounts, accounts.c.id == webhooks.c.account_id)
    .join(mailboxes, mailboxes.c.id == deliveries.c.mailbox_id)
    .join(messages, messages.c.id == deliveries.c.message_row_id)
)
# In the order of the row's fields.
_DELIVERIES = sa.select(
    deliveries.c.id,
    accounts.c.name,
    deliveries.c.webhook_id,
    webhooks.c.name,
    webhooks.c.paused_at.is_not(None),
    mailboxes.c.address,
    messages.c.message_id,
    deliveries.c.rule_id,
    deliveries.c.status,
    deliveries.c.attempts,
    deliveries.c.created_at,
    deliveries.c.next_attempt_at,
    deliveries.c.finished_at,
    deliveries.c.last_status_code,
    deliveries.c.last_error,
).select_from(JOINED)


def conditions(asked: Asked) -> list[sa.ColumnElement[bool]]:
    """What holds of the rows that are meant, over `JOINED`."""
    wanted: list[sa.ColumnElement[bool] | None] = [
        None if asked.account_id is None else webhooks.c.account_id == asked.account_id,
        None if asked.webhook_ids is None else deliveries.c.webhook_id.in_(asked.webhook_ids),
        None if asked.mailbox is None else mailboxes.c.address == asked.mailbox,
        deliveries.c.status.in_(asked.statuses) if asked.statuses else None,
        None if asked.message_id is None else messages.c.message_id == asked.message_id,
        None if asked.since is None else deliveries.c.created_at >= asked.since,
        None if asked.until is None else deliveries.c.created_at < asked.until,
        None if asked.finished_since is None else deliveries.c.finished_at >= asked.finished_since,
    ]
    return [condition for condition in wanted if condition is not None]


def _row(found: sa.Row[*tuple[Any, ...]]) -> DeliveryRow:
    row = DeliveryRow(*found)
    return replace(row, status=DeliveryStatus(row.status))


def _with_attempts(connection: sa.Connection, rows: Sequence[DeliveryRow]) -> Sequence[Told]:
    columns = delivery_attempts.c
    query = sa.select(
        columns.delivery_id,
        columns.number,
        columns.started_at,
        columns.finished_at,
        columns.status_code,
        columns.error,
        columns.answer,
    )
    query = query.where(columns.delivery_id.in_([row.delivery_id for row in rows])).order_by(columns.number)
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for delivery_id, *values in connection.execute(query):
        attempts[delivery_id].append(Attempt(*values))
    return [Told(row, tuple(attempts[row.delivery_id])) for row in rows]
