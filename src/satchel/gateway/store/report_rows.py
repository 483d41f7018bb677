"""The rows of a report: counted by when they were received, and read by their numbers, page by page.

They are the messages of one mailbox, received in a time, that were in the index with their envelope when the run began.
A message is numbered when it is described, and no number is given twice: so the pages of a run are always the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

import sqlalchemy as sa
from msgspec import UNSET, Raw, Struct, UnsetType, field

from satchel.contract.reports import ActivityType, RunStatus
from satchel.gateway.reports.parameters import PageAsked
from satchel.gateway.store.prepared import Converter, Prepared, driver_cursor, prepare, reader, writer
from satchel.gateway.store.reports import Counted, Run, advance_run, find_run
from satchel.gateway.store.tables import messages

# Some milliseconds' work, and one commit.
SLICE_ROWS = 10_000
# Of texts that whoever writes a message makes as long as they like: thousands of recipients are a megabyte.
MAX_PAGE_CHARACTERS = 4 * 1024 * 1024
# So few of a run are soon sorted. By their numbers one would have to pass all that were received at other times.
FEW_ROWS = 1000


class ReportRow(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A `ReceivedMessage` on its way out: its people are the JSON that the index has of them."""

    id: int
    message_id: str
    internet_message_id: str
    conversation_id: str
    mailbox_id: str
    received: datetime
    sender: Raw
    from_: Raw = field(name="from")
    subject: str
    has_attachments: bool
    to: Raw | UnsetType = UNSET
    cc: Raw | UnsetType = UNSET


def count_slice(
    engine: sa.Engine, run_id: str, now: datetime, *, given_up_before: datetime, limit: int = SLICE_ROWS
) -> bool:
    """Count so many more rows of a run; whether there may be more to count.

    There is nothing to count of a run that is unknown, has ended, or began too long ago.
    """
    with engine.begin() as connection:
        run = find_run(connection, run_id)
        if run is None or run.status is not RunStatus.RUNNING or run.created_at <= given_up_before:
            return False
        counted = _slice(connection, run, limit)
        advance_run(connection, run, counted, now)
    return not counted.is_all


def read_result(
    engine: sa.Engine, run_id: str, page: PageAsked, *, key_id: str, begun_after: datetime
) -> tuple[Run, Sequence[ReportRow]] | None:
    """A run that the key began, and one page of its rows once it is done; None where there is no such run, or it began
    too long ago."""
    with engine.connect() as connection:
        run = find_run(connection, run_id)
        if run is None or run.key_id != key_id or run.created_at <= begun_after:
            return None
        if run.status is not RunStatus.DONE or run.first_row_id is None or run.last_row_id is None:
            return run, ()
        return run, _page(connection, run, page, after=run.first_row_id - 1, before=run.last_row_id + 1)


def _slice(connection: sa.Connection, run: Run, limit: int) -> Counted:
    """What the next slice of a run holds, in the order of the instants."""
    if run.activity is not ActivityType.RECEIVED:
        return Counted(0, None, None, run.counted_received, run.counted_row_id, 100, is_all=True)
    ahead = _of_run(run, since=run.counted_received)
    position = sa.tuple_(messages.c.received, messages.c.id)
    behind = position > sa.tuple_(sa.literal(run.counted_received), sa.literal(run.counted_row_id))
    in_order = sa.select(messages.c.received, messages.c.id).where(*ahead, behind)
    in_order = in_order.order_by(messages.c.received, messages.c.id)
    last = connection.execute(in_order.offset(limit - 1).limit(1)).one_or_none()
    ids = messages.c.id
    numbers = sa.select(sa.func.count(), sa.func.min(ids), sa.func.max(ids))
    if last is None:
        count, first_id, last_id = connection.execute(numbers.where(*ahead, behind)).one()
        return Counted(count, first_id, last_id, run.counted_received, run.counted_row_id, 100, is_all=True)
    up_to = position <= sa.tuple_(sa.literal(last.received), sa.literal(last.id))
    slice_ = _of_run(run, since=run.counted_received, until=last.received)
    count, first_id, last_id = connection.execute(numbers.where(*slice_, behind, up_to)).one()
    progress = _progress(connection, run, last.received)
    return Counted(count, first_id, last_id, last.received, last.id, progress, is_all=False)


def _progress(connection: sa.Connection, run: Run, reached: datetime) -> int:
    """Percent, as if as many messages came at all times between the first and the last."""
    received = messages.c.received
    first, last = (
        connection.scalars(sa.select(received).where(*_of_run(run)).order_by(order).limit(1)).one()
        for order in (received, received.desc())
    )
    return min(99, int(100 * (reached - first) / (last - first))) if first < last else 0


def _of_run(
    run: Run, *, since: datetime | None = None, until: datetime | None = None
) -> tuple[sa.ColumnElement[bool], ...]:
    """What makes a message a row of a run, between two instants; these bounds are what SQLite finds its place by."""
    return (
        messages.c.mailbox_id == run.mailbox_id,
        messages.c.readable.is_(True),
        messages.c.received >= (since or run.start),
        messages.c.received <= (until or run.end),
        messages.c.id <= run.cutoff_row_id,
    )


@dataclass(frozen=True, slots=True)
class _Pages:
    """The statement of a page, and how a driver is spoken to of instants."""

    prepared: Prepared
    read_instant: Converter
    write_instant: Converter


@lru_cache(maxsize=32)
def _pages(dialect: sa.Dialect, *, backwards: bool, by_time: bool, with_participants: bool) -> _Pages:
    # No index knows of a sum, so that the rows are found by when they were received.
    number = messages.c.id + 0 if by_time else messages.c.id
    # As text, so that the JSON is not read here only to be written again.
    people = [sa.cast(messages.c[name], sa.Text) for name in ("sender", "from_")]
    nothing: sa.ColumnElement[str] = sa.literal_column("''")
    recipients = [sa.cast(messages.c[name], sa.Text) if with_participants else nothing for name in ("to", "cc")]
    statement = (
        sa.select(
            messages.c.id,
            messages.c.message_id,
            messages.c.internet_message_id,
            messages.c.conversation_id,
            messages.c.received,
            messages.c.subject,
            messages.c.has_attachments,
            *people,
            *recipients,
        )
        .where(
            messages.c.mailbox_id == sa.bindparam("mailbox_id"),
            messages.c.readable.is_(True),
            messages.c.received >= sa.bindparam("start"),
            messages.c.received <= sa.bindparam("end"),
            number > sa.bindparam("after"),
            number < sa.bindparam("before"),
        )
        .order_by(number.desc() if backwards else number)
        .limit(sa.bindparam("max_rows"))
    )
    names = ("mailbox_id", "start", "end", "after", "before", "max_rows")
    received = messages.c.received
    return _Pages(prepare(statement, dialect, *names), reader(received, dialect), writer(received, dialect))


def _page(connection: sa.Connection, run: Run, page: PageAsked, *, after: int, before: int) -> Sequence[ReportRow]:
    """The rows of a page that lie between two numbers, in increasing order: those next to its cursor, where one page
    cannot hold all."""
    backwards = page.ending_before is not None
    by_time = run.total <= FEW_ROWS < before - after
    pages = _pages(connection.dialect, backwards=backwards, by_time=by_time, with_participants=run.with_participants)
    parameters = pages.prepared.parameters(
        mailbox_id=run.mailbox_id,
        start=pages.write_instant(run.start),
        end=pages.write_instant(run.end),
        after=after if page.starting_after is None else max(after, page.starting_after),
        before=before if page.ending_before is None else min(before, page.ending_before),
        max_rows=page.max_rows,
    )
    with driver_cursor(connection) as cursor:
        cursor.execute(pages.prepared.sql, parameters)
        # As they come from the database: not all that would be too much is ever held.
        rows = _rows(cast("Iterable[Sequence[Any]]", cursor), run.mailbox_id, pages.read_instant)
    return rows[::-1] if backwards else rows


def _rows(found: Iterable[Sequence[Any]], mailbox_id: str, read_instant: Converter) -> list[ReportRow]:
    """Those that a page has room for, and one at least."""
    # Written for speed: this is half of what a page costs beside its SQL.
    rows: list[ReportRow] = []
    room = MAX_PAGE_CHARACTERS
    for id_, message_id, internet_id, conversation_id, received, subject, has_files, sender, from_, to, cc in found:
        room -= len(internet_id) + len(conversation_id) + len(subject) + len(sender) + len(from_) + len(to) + len(cc)
        if room < 0 and rows:
            break
        rows.append(
            ReportRow(
                id_,
                message_id,
                internet_id,
                conversation_id,
                mailbox_id,
                read_instant(received),
                Raw(sender),
                Raw(from_),
                subject,
                has_files == 1,
                Raw(to) if to else UNSET,
                Raw(cc) if cc else UNSET,
            )
        )
    return rows
