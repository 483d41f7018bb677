"""Messages that wait to be described: written down before anybody counts them as taken, gone when they are indexed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from satchel.gateway.store.tables import pending_messages
from satchel.mail.source import MessageRef

_KEY = (pending_messages.c.account_id, pending_messages.c.mailbox, pending_messages.c.message_id)


@dataclass(frozen=True, slots=True)
class PendingMessage:
    """A message that was tried `attempts` times since `first_seen_at`."""

    ref: MessageRef
    first_seen_at: datetime
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Postponed:
    """One that is to be tried again."""

    message: PendingMessage
    next_attempt_at: datetime


def due_messages(
    engine: sa.Engine, account_id: str, now: datetime, *, limit: int, but_not_of: Collection[str] = ()
) -> Sequence[PendingMessage]:
    """An account's messages whose time has come, the longest due first, without those of some mailboxes."""
    query = (
        sa.select(pending_messages)
        .where(
            pending_messages.c.account_id == account_id,
            pending_messages.c.next_attempt_at <= now,
            pending_messages.c.mailbox.not_in(but_not_of),
        )
        .order_by(pending_messages.c.next_attempt_at)
        .limit(limit)
    )
    with engine.connect() as connection:
        return [_message(row) for row in connection.execute(query)]


def see_again(
    engine: sa.Engine, account_id: str, message_ids: Collection[str], now: datetime
) -> frozenset[tuple[str, str]]:
    """Those of the messages that wait, each as its mailbox and id. They were seen just now, so patience with one that
    is not found begins anew."""
    is_one = sa.and_(pending_messages.c.account_id == account_id, pending_messages.c.message_id.in_(message_ids))
    seen = sa.update(pending_messages).where(is_one).values(first_seen_at=now)
    with engine.begin() as connection:
        rows = connection.execute(seen.returning(pending_messages.c.mailbox, pending_messages.c.message_id))
        return frozenset((row.mailbox, row.message_id) for row in rows)


def postpone(engine: sa.Engine, account_id: str, postponed: Sequence[Postponed]) -> None:
    """Write down when to try them again, those that were not pending so far included."""
    rows = [
        {
            "account_id": account_id,
            "mailbox": each.message.ref.mailbox,
            "message_id": each.message.ref.message_id,
            "locator": each.message.ref.locator,
            "first_seen_at": each.message.first_seen_at,
            "next_attempt_at": each.next_attempt_at,
            "attempts": each.message.attempts,
        }
        for each in postponed
    ]
    insert = sqlite.insert(pending_messages)
    changed = {name: insert.excluded[name] for name in ("next_attempt_at", "attempts")}
    with engine.begin() as connection:
        connection.execute(insert.on_conflict_do_update(index_elements=_KEY, set_=changed), rows)


def add_pending(connection: sa.Connection, found: Collection[tuple[str, MessageRef]], now: datetime) -> int:
    """Write down messages, each with its account, as due now, inside the caller's transaction; how many are new."""
    rows = [
        {
            "account_id": account_id,
            "mailbox": ref.mailbox,
            "message_id": ref.message_id,
            "locator": ref.locator,
            "first_seen_at": now,
            "next_attempt_at": now,
            "attempts": 0,
        }
        for account_id, ref in found
    ]
    if not rows:
        return 0
    insert = sqlite.insert(pending_messages).on_conflict_do_nothing(index_elements=_KEY)
    return len(connection.execute(insert.returning(pending_messages.c.message_id), rows).all())


def drop_pending(engine: sa.Engine, account_id: str, messages: Collection[PendingMessage]) -> None:
    """They wait no more, except for those that were seen again since they were read."""
    is_one = sa.and_(
        pending_messages.c.account_id == account_id,
        pending_messages.c.mailbox == sa.bindparam("of_mailbox"),
        pending_messages.c.message_id == sa.bindparam("of_message_id"),
        pending_messages.c.first_seen_at == sa.bindparam("of_first_seen_at"),
    )
    values = [
        {"of_mailbox": each.ref.mailbox, "of_message_id": each.ref.message_id, "of_first_seen_at": each.first_seen_at}
        for each in messages
    ]
    with engine.begin() as connection:
        connection.execute(sa.delete(pending_messages).where(is_one), values)


def count_pending(engine: sa.Engine, account_id: str) -> int:
    """How many messages of an account wait."""
    query = sa.select(sa.func.count()).where(pending_messages.c.account_id == account_id)
    with engine.connect() as connection:
        return connection.scalar(query) or 0


def _message(row: sa.Row[tuple[object, ...]]) -> PendingMessage:
    return PendingMessage(MessageRef(row.mailbox, row.message_id, row.locator), row.first_seen_at, row.attempts)
