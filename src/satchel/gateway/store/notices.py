"""What a mail server notified us of: messages that wait from now on, and what has become of subscriptions."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from satchel.gateway.store.pending import add_pending
from satchel.gateway.store.tables import catch_up_requests, graph_subscriptions
from satchel.mail.host import SubscriptionStatus
from satchel.mail.source import MessageRef

REMOVED = "subscriptionRemoved"
MISSED = "missed"
REAUTHORIZE = "reauthorizationRequired"

# Rather than to ask for more secrets than this, the whole table is read: it is as small as the settings are, and
# what strangers post is not, nor may it pass SQLite's bound on parameters.
_MOST_SECRETS = 500

# The message that an id of the mail server's is, in a mailbox; None for what is no id.
NameMessage = Callable[[str, str], MessageRef | None]


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification: of a message by the mail server's own id for it, or of something in the subscription's life."""

    client_state_hash: str
    graph_id: str | None = None
    lifecycle_event: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the notices of one body: how many were of ours, and how many messages among them were new."""

    known: int
    refused: int
    new_messages: int


def take_notices(
    engine: sa.Engine, bodies: Sequence[Sequence[Notice]], *, name_message: NameMessage
) -> Sequence[Taken]:
    """Write down what the notices of some bodies say, in one transaction; those that are not ours are refused."""
    found = _subscriptions_of(engine, {notice.client_state_hash for notices in bodies for notice in notices})
    if not found:
        return [Taken(0, len(notices), 0) for notices in bodies]
    now = datetime.now(UTC)
    with engine.begin() as connection:
        return [_take_body(connection, notices, found, now, name_message) for notices in bodies]


def _subscriptions_of(engine: sa.Engine, hashes: Collection[str]) -> dict[str, sa.Row[tuple[object, ...]]]:
    query = sa.select(graph_subscriptions)
    if len(hashes) <= _MOST_SECRETS:
        query = query.where(graph_subscriptions.c.client_state_hash.in_(hashes))
    with engine.connect() as connection:
        return {row.client_state_hash: row for row in connection.execute(query)}


def _take_body(
    connection: sa.Connection,
    notices: Sequence[Notice],
    found: Mapping[str, sa.Row[tuple[object, ...]]],
    now: datetime,
    name_message: NameMessage,
) -> Taken:
    known = 0
    messages: dict[tuple[str, str, str], tuple[str, MessageRef]] = {}
    for notice in notices:
        row = found.get(notice.client_state_hash)
        if row is None or not compare_digest(str(row.client_state_hash), notice.client_state_hash):
            continue
        known += 1
        if notice.graph_id is not None and (ref := name_message(row.mailbox, notice.graph_id)) is not None:
            messages[row.account_id, ref.mailbox, ref.message_id] = (row.account_id, ref)
        if notice.lifecycle_event is not None:
            _take_lifecycle_event(connection, row, notice.lifecycle_event, now)
    return Taken(known, len(notices) - known, add_pending(connection, messages.values(), now))


def _take_lifecycle_event(
    connection: sa.Connection, row: sa.Row[tuple[object, ...]], event: str, now: datetime
) -> None:
    if event == REAUTHORIZE:
        _set_status(connection, row, SubscriptionStatus.REAUTHORIZE, only=SubscriptionStatus.ACTIVE)
    elif event == REMOVED:
        _set_status(connection, row, SubscriptionStatus.REMOVED)
    if event in {REMOVED, MISSED}:
        _request_catch_up(connection, row.account_id, row.mailbox, now)


def _set_status(
    connection: sa.Connection,
    row: sa.Row[tuple[object, ...]],
    status: SubscriptionStatus,
    only: SubscriptionStatus | None = None,
) -> None:
    # By the hash, so that word of an earlier subscription does not change the one that has taken its place.
    update = sa.update(graph_subscriptions).where(graph_subscriptions.c.client_state_hash == row.client_state_hash)
    if only is not None:
        update = update.where(graph_subscriptions.c.status == only)
    connection.execute(update.values(status=status))


def _request_catch_up(connection: sa.Connection, account_id: str, mailbox: str, now: datetime) -> None:
    values = {"account_id": account_id, "mailbox": mailbox, "requested_at": now}
    connection.execute(sqlite.insert(catch_up_requests).on_conflict_do_nothing(), [values])


def take_catch_up_requests(engine: sa.Engine, account_id: str) -> frozenset[str]:
    """The mailboxes in which something may have been missed; each is told once."""
    is_ours = catch_up_requests.c.account_id == account_id
    with engine.connect() as connection:
        if connection.scalar(sa.select(catch_up_requests.c.mailbox).where(is_ours).limit(1)) is None:
            return frozenset()
    with engine.begin() as connection:
        return frozenset(
            connection.scalars(sa.delete(catch_up_requests).where(is_ours).returning(catch_up_requests.c.mailbox))
        )
