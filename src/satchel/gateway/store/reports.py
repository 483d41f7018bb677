"""Runs of reports: begun, counted slice by slice, ended, removed (contract section 11).

A run says which messages of the index are its rows, and keeps how far it has counted them; the rows themselves are the
index's own (`report_rows`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from satchel.contract.reports import ActivityType, RunStatus
from satchel.gateway.store.prepared import Converter, Prepared, driver_cursor, prepare, reader
from satchel.gateway.store.tables import accounts, api_key_mailboxes, messages, report_runs

MOST_RUNNING = 3


class MailboxNotAllowed(LookupError):
    """The key is not for this mailbox, or there is none."""


class TooManyRuns(RuntimeError):
    """The account has as many reports running as it may."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """A report that is asked for. `origin` is the URL of the call behind the host, `body` its JSON."""

    run_id: str
    account_id: str
    key_id: str
    mailbox_id: str
    origin: str
    body: str
    with_participants: bool
    activity: ActivityType
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """A report as it stands. `total` and the first and last row are those of what is counted so far; counting goes on
    behind `counted_received` and `counted_row_id`."""

    run_id: str
    key_id: str
    mailbox_id: str
    status: RunStatus
    progress: int
    origin: str
    body: str
    with_participants: bool
    activity: ActivityType
    start: datetime
    end: datetime
    cutoff_at: datetime
    cutoff_row_id: int
    total: int
    first_row_id: int | None
    last_row_id: int | None
    counted_received: datetime
    counted_row_id: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Counted:
    """What a slice adds to a run, and where the next one begins; the run is done where nothing is left to count."""

    count: int
    first_row_id: int | None
    last_row_id: int | None
    received: datetime
    row_id: int
    progress: int
    is_all: bool


def begin_run(engine: sa.Engine, new: NewRun, now: datetime, *, given_up_before: datetime) -> Run:
    """Write down a run over what is in the index now. Raises MailboxNotAllowed, then TooManyRuns.

    A run that began earlier than `given_up_before` does not count as running.
    """
    with engine.begin() as connection:
        if not _is_allowed(connection, new.key_id, new.mailbox_id):
            raise MailboxNotAllowed
        # Takes the account's row, so that calls of one account are judged one after the other.
        connection.execute(
            sa.update(accounts).where(accounts.c.id == new.account_id).values(name=accounts.c.name),
        )
        if _count_running(connection, new.account_id, given_up_before) >= MOST_RUNNING:
            raise TooManyRuns
        connection.execute(sa.insert(report_runs).values(_values(new, now)))
        run = find_run(connection, new.run_id)
    assert run is not None
    return run


def find_run(connection: sa.Connection, run_id: str) -> Run | None:
    """The run of this id, whoever's it is."""
    statement = _statement(connection.dialect)
    with driver_cursor(connection) as cursor:
        cursor.execute(statement.prepared.sql, statement.prepared.parameters(run_id=run_id))
        row = cursor.fetchone()
    return None if row is None else Run(*(read(value) for read, value in zip(statement.readers, row, strict=True)))


def running_runs(engine: sa.Engine, now: datetime, *, given_up_before: datetime) -> Sequence[str]:
    """Ids of the runs that have not ended. Those that began too long ago end as failed."""
    query = sa.select(report_runs.c.id, report_runs.c.created_at).where(report_runs.c.status == RunStatus.RUNNING)
    with engine.connect() as connection:
        running = connection.execute(query).all()
    for run in running:
        if run.created_at <= given_up_before:
            fail_run(engine, run.id, now)
    return [run.id for run in running if run.created_at > given_up_before]


def advance_run(connection: sa.Connection, run: Run, counted: Counted, now: datetime) -> None:
    """Add a slice to a run, unless somebody else has since."""
    rows = [id_ for id_ in (run.first_row_id, counted.first_row_id, run.last_row_id, counted.last_row_id) if id_]
    unchanged = sa.and_(
        report_runs.c.id == run.run_id,
        report_runs.c.status == RunStatus.RUNNING,
        report_runs.c.counted_received == run.counted_received,
        report_runs.c.counted_row_id == run.counted_row_id,
    )
    connection.execute(
        sa.update(report_runs)
        .where(unchanged)
        .values(
            total=run.total + counted.count,
            first_row_id=min(rows, default=None),
            last_row_id=max(rows, default=None),
            counted_received=counted.received,
            counted_row_id=counted.row_id,
            progress=100 if counted.is_all else counted.progress,
            status=RunStatus.DONE if counted.is_all else RunStatus.RUNNING,
            finished_at=now if counted.is_all else None,
        )
    )


def fail_run(engine: sa.Engine, run_id: str, now: datetime) -> None:
    """End a run that cannot be counted, if it has not ended."""
    is_running = sa.and_(report_runs.c.id == run_id, report_runs.c.status == RunStatus.RUNNING)
    with engine.begin() as connection:
        connection.execute(sa.update(report_runs).where(is_running).values(status=RunStatus.ERROR, finished_at=now))


def remove_runs(engine: sa.Engine, before: datetime, limit: int) -> int:
    """Remove runs that began before an instant, so many at most; how many it were."""
    oldest = sa.select(report_runs.c.id).where(report_runs.c.created_at < before).limit(limit)
    with engine.begin() as connection:
        return connection.execute(sa.delete(report_runs).where(report_runs.c.id.in_(oldest))).rowcount


def _is_allowed(connection: sa.Connection, key_id: str, mailbox_id: str) -> bool:
    table = api_key_mailboxes
    query = sa.select(table.c.key_id).where(table.c.key_id == key_id, table.c.mailbox_id == mailbox_id)
    return connection.execute(query).first() is not None


def _count_running(connection: sa.Connection, account_id: str, begun_after: datetime) -> int:
    query = sa.select(sa.func.count()).where(
        report_runs.c.status == RunStatus.RUNNING,
        report_runs.c.account_id == account_id,
        report_runs.c.created_at > begun_after,
    )
    return connection.scalar(query) or 0


def _values(new: NewRun, now: datetime) -> dict[str, Any]:
    return {
        "id": new.run_id,
        "account_id": new.account_id,
        "key_id": new.key_id,
        "mailbox_id": new.mailbox_id,
        "status": RunStatus.RUNNING,
        "progress": 0,
        "origin": new.origin,
        "body": new.body,
        "with_participants": new.with_participants,
        "activity_type": new.activity,
        "activity_start": new.start,
        "activity_end": new.end,
        "cutoff_at": now,
        "cutoff_row_id": sa.select(sa.func.coalesce(sa.func.max(messages.c.id), 0)).scalar_subquery(),
        "total": 0,
        "counted_received": new.start,
        "counted_row_id": 0,
        "created_at": now,
    }


# In the order of the run's fields.
_COLUMNS = (
    report_runs.c.id,
    report_runs.c.key_id,
    report_runs.c.mailbox_id,
    report_runs.c.status,
    report_runs.c.progress,
    report_runs.c.origin,
    report_runs.c.body,
    report_runs.c.with_participants,
    report_runs.c.activity_type,
    report_runs.c.activity_start,
    report_runs.c.activity_end,
    report_runs.c.cutoff_at,
    report_runs.c.cutoff_row_id,
    report_runs.c.total,
    report_runs.c.first_row_id,
    report_runs.c.last_row_id,
    report_runs.c.counted_received,
    report_runs.c.counted_row_id,
    report_runs.c.created_at,
)


@dataclass(frozen=True, slots=True)
class _Statement:
    prepared: Prepared
    readers: Sequence[Converter]


@lru_cache(maxsize=8)
def _statement(dialect: sa.Dialect) -> _Statement:
    """How a run is asked for, which each page of a report does."""
    own: dict[str, Converter] = {"status": RunStatus, "activity_type": ActivityType}
    query = sa.select(*_COLUMNS).where(report_runs.c.id == sa.bindparam("run_id"))
    readers = [own.get(column.name) or reader(column, dialect) for column in _COLUMNS]
    return _Statement(prepare(query, dialect, "run_id"), readers)
