"""What the ledger records and is asked: events taken in, attachments listed, and what became of each.

The functions take a connection and run in the caller's transaction. `attempt` numbers the attempts at a row for ever;
`tries` counts those since the row was last asked for, and is what the bound on attempts is about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from satchel.collector.tables import attachments, events


class Status(StrEnum):
    """`LISTED` is of events only: the message's attachments have rows of their own."""

    PENDING = "pending"
    LISTED = "listed"
    STORED = "stored"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Event:
    """What is kept of a webhook's event. `received` is the wire's RFC 3339 text."""

    message_id: str
    mailbox: str
    sender: str
    received: str


@dataclass(frozen=True, slots=True)
class Work:
    """A row that is not finished: an event, or an attachment where `attachment_id` is set. Which attempt is next."""

    message_id: str
    attachment_id: str | None
    attempt: int
    due_at_ms: int

    @property
    def workflow_id(self) -> str:
        ids = (self.message_id,) if self.attachment_id is None else (self.message_id, self.attachment_id)
        # Ids are opaque; escaped, they hold none of our separators.
        return f"{'+'.join(quote(one, safe='=') for one in ids)}#{self.attempt}"


@dataclass(frozen=True, slots=True)
class Accepted:
    """`overloaded`: nothing was written. `work` is what the event asks for: none when it is done or under way."""

    overloaded: bool
    work: tuple[Work, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """An attachment as it was listed and judged; `status` is PENDING for one that is wanted."""

    attachment_id: str
    name: str
    content_type: str
    listed_bytes: int
    status: Status
    reason: str | None
    rule: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that an attempt needs to know of an attachment."""

    message_id: str
    attachment_id: str
    name: str
    content_type: str
    mailbox: str
    received: str
    tries: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a message is. `done` once no row of it is pending."""

    done: bool
    stored: int
    skipped: int
    failed: int


def accept(connection: sa.Connection, event: Event, *, now_ms: int, max_pending: int) -> Accepted:
    """Take an event in. One that is known asks again for what of its message failed, and for nothing else."""
    if connection.execute(_KNOWN, {"m": event.message_id}).one_or_none() is not None:
        return Accepted(
            overloaded=False, work=tuple(retry_failed(connection, now_ms=now_ms, message_id=event.message_id))
        )
    if count_pending_events(connection) >= max_pending:
        return Accepted(overloaded=True)
    row = {
        "message_id": event.message_id,
        "mailbox": event.mailbox,
        "sender": event.sender,
        "received": event.received,
        "status": Status.PENDING,
        "attempt": 1,
        "tries": 0,
        "due_at_ms": now_ms,
        "accepted_at_ms": now_ms,
        "updated_at_ms": now_ms,
    }
    connection.execute(_INSERT_EVENT, row)
    return Accepted(overloaded=False, work=(Work(event.message_id, None, 1, now_ms),))


_KNOWN = sa.select(events.c.message_id).where(events.c.message_id == sa.bindparam("m"))
_INSERT_EVENT = insert(events).on_conflict_do_nothing()
_INSERT_ATTACHMENTS = insert(attachments).on_conflict_do_nothing()


def count_pending_events(connection: sa.Connection) -> int:
    return connection.execute(_COUNT_PENDING).scalar_one()


_COUNT_PENDING = sa.select(sa.func.count()).select_from(events).where(events.c.status == sa.literal_column("'pending'"))


def begin_listing(connection: sa.Connection, message_id: str, attempt: int) -> tuple[Event, int] | None:
    """The event and its tries so far; None when this attempt is not the one that is next."""
    row = connection.execute(
        sa.select(events).where(events.c.message_id == message_id, events.c.attempt == attempt, _pending(events))
    ).one_or_none()
    if row is None:
        return None
    return Event(row.message_id, row.mailbox, row.sender, row.received), row.tries


def record_listing(connection: sa.Connection, message_id: str, listed: Sequence[Listed], *, now_ms: int) -> list[Work]:
    """Write a message's attachments; those that are known stay as they are. Returns what is to be fetched."""
    if listed:
        rows = [
            {
                "message_id": message_id,
                "attachment_id": one.attachment_id,
                "position": position,
                "name": one.name,
                "content_type": one.content_type,
                "listed_bytes": one.listed_bytes,
                "status": one.status,
                "reason": one.reason,
                "rule": one.rule,
                "attempt": 1,
                "tries": 0,
                "due_at_ms": now_ms,
                "created_at_ms": now_ms,
                "updated_at_ms": now_ms,
            }
            for position, one in enumerate(listed)
        ]
        connection.execute(_INSERT_ATTACHMENTS, rows)
    connection.execute(
        sa.update(events)
        .where(events.c.message_id == message_id)
        .values(status=Status.LISTED, reason=None, updated_at_ms=now_ms)
    )
    return _unfinished(connection, attachments.c.message_id == message_id)


def begin_fetch(connection: sa.Connection, message_id: str, attachment_id: str, attempt: int) -> Wanted | None:
    """The attachment; None when this attempt is not the one that is next."""
    row = connection.execute(_BEGIN_FETCH, {"m": message_id, "a": attachment_id, "n": attempt}).one_or_none()
    return Wanted(*row) if row is not None else None


_BEGIN_FETCH = (
    sa.select(
        attachments.c.message_id,
        attachments.c.attachment_id,
        attachments.c.name,
        attachments.c.content_type,
        events.c.mailbox,
        events.c.received,
        attachments.c.tries,
    )
    .join_from(attachments, events)
    .where(
        attachments.c.message_id == sa.bindparam("m"),
        attachments.c.attachment_id == sa.bindparam("a"),
        attachments.c.attempt == sa.bindparam("n"),
        attachments.c.status == Status.PENDING,
    )
)


def record_stored(
    connection: sa.Connection, wanted: Wanted, *, storage_key: str, size: int, sha256: str, now_ms: int
) -> None:
    """Say that the sink has given its receipt."""
    connection.execute(
        _STORED,
        {"m": wanted.message_id, "a": wanted.attachment_id, "k": storage_key, "s": size, "d": sha256, "t": now_ms},
    )


_STORED = (
    sa.update(attachments)
    .where(attachments.c.message_id == sa.bindparam("m"), attachments.c.attachment_id == sa.bindparam("a"))
    .values(
        status=Status.STORED,
        reason=None,
        storage_key=sa.bindparam("k"),
        size=sa.bindparam("s"),
        sha256=sa.bindparam("d"),
        tries=attachments.c.tries + 1,
        updated_at_ms=sa.bindparam("t"),
    )
)


def postpone(
    connection: sa.Connection, work: Work, *, reason: str, due_at_ms: int, now_ms: int, counted: bool = True
) -> Work:
    """Write down the next attempt before it is asked for; one that is not `counted` leaves the tries as they are."""
    following = Work(work.message_id, work.attachment_id, work.attempt + 1, due_at_ms)
    changed = {"attempt": following.attempt, "reason": reason, "due_at_ms": due_at_ms, "updated_at_ms": now_ms}
    _update(connection, work, tries=int(counted), **changed)
    return following


def record_failed(connection: sa.Connection, work: Work, *, reason: str, now_ms: int) -> None:
    """Give up: until somebody asks again."""
    _update(connection, work, tries=1, status=Status.FAILED, reason=reason, updated_at_ms=now_ms)


def _update(connection: sa.Connection, work: Work, *, tries: int, **values: Any) -> None:
    table, identity = _row(work)
    connection.execute(
        sa.update(table)
        .where(*identity, table.c.attempt == work.attempt, _pending(table))
        .values(tries=table.c.tries + tries, **values)
    )


def retry_failed(
    connection: sa.Connection, *, now_ms: int, message_id: str | None = None, attachment_id: str | None = None
) -> list[Work]:
    """Ask again for what failed: all of it, of one message, or one attachment. Returns the work that this makes."""
    found: list[Work] = []
    for table in (events, attachments):
        chosen = [table.c.status == Status.FAILED]
        if message_id is not None:
            chosen.append(table.c.message_id == message_id)
        if attachment_id is not None:
            chosen.append(table.c.attachment_id == attachment_id if table is attachments else sa.false())
        columns = (table.c.message_id, table.c.attachment_id if table is attachments else sa.null(), table.c.attempt)
        changed = connection.execute(
            sa.update(table)
            .where(*chosen)
            .values(
                status=Status.PENDING,
                attempt=table.c.attempt + 1,
                tries=0,
                due_at_ms=now_ms,
                updated_at_ms=now_ms,
            )
            .returning(*columns)
        )
        found += [Work(row[0], row[1], row[2], now_ms) for row in changed]
    return found


def unfinished(connection: sa.Connection, *, due_before_ms: int, limit: int) -> list[Work]:
    """The pending rows that are due first, in that order: messages before attachments of the same instant."""
    found: list[Work] = []
    for table in (events, attachments):
        columns = (
            table.c.message_id,
            table.c.attachment_id if table is attachments else sa.null(),
            table.c.attempt,
            table.c.due_at_ms,
        )
        due = sa.select(*columns).where(_pending(table), table.c.due_at_ms <= due_before_ms)
        found += [Work(*row) for row in connection.execute(due.order_by(table.c.due_at_ms).limit(limit))]
    return sorted(found, key=lambda work: work.due_at_ms)[:limit]


def probe(connection: sa.Connection) -> None:
    """Nothing but a look at the ledger."""
    connection.execute(sa.select(events.c.message_id).limit(1))


def _unfinished(connection: sa.Connection, where: sa.ColumnElement[bool]) -> list[Work]:
    columns = (attachments.c.message_id, attachments.c.attachment_id, attachments.c.attempt, attachments.c.due_at_ms)
    query = sa.select(*columns).where(_pending(attachments), where).order_by(attachments.c.position)
    return [Work(*row) for row in connection.execute(query)]


def progress(connection: sa.Connection, message_id: str) -> Progress:
    """How far a message is, with its event's own failure counted among the failed."""
    event = connection.execute(sa.select(events.c.status).where(events.c.message_id == message_id)).scalar_one()
    query = (
        sa.select(attachments.c.status, sa.func.count())
        .where(attachments.c.message_id == message_id)
        .group_by(attachments.c.status)
    )
    counts: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    return Progress(
        done=event != Status.PENDING and Status.PENDING not in counts,
        stored=counts.get(Status.STORED, 0),
        skipped=counts.get(Status.SKIPPED, 0),
        failed=counts.get(Status.FAILED, 0) + (event == Status.FAILED),
    )


def _pending(table: sa.Table) -> sa.ColumnElement[bool]:
    # A literal, because SQLite takes a partial index only where it sees the value.
    return table.c.status == sa.literal_column("'pending'")


def _row(work: Work) -> tuple[sa.Table, list[sa.ColumnElement[bool]]]:
    if work.attachment_id is None:
        return events, [events.c.message_id == work.message_id]
    same = [attachments.c.message_id == work.message_id, attachments.c.attachment_id == work.attachment_id]
    return attachments, same
