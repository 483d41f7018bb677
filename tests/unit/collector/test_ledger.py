"""The ledger: events, attachments, attempts, and several callers at once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from satchel.collector import records
from satchel.collector.ledger import Ledger, open_ledger
from satchel.collector.listing import entries, retry
from satchel.collector.records import Accepted, Event, Listed, Progress, Status, Work
from satchel.collector.tables import METADATA

EVENT = Event("m", "invoices@example.test", "boss@example.test", "2026-01-01T00:00:00Z")
PDF = Listed("a", "invoice.pdf", "application/pdf", 10, Status.PENDING, None, None)
LOGO = Listed("b", "logo.png", "image/png", 5, Status.SKIPPED, "inline_image", None)
LISTING, FETCHING = Work("m", None, 1, 1000), Work("m", "a", 1, 2000)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_ledger(tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.begin() as connection:
        yield connection


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = Ledger(open_ledger(tmp_path))
    yield ledger
    await ledger.aclose()


def accept(connection: sa.Connection, event: Event = EVENT, *, now_ms: int = 1000, max_pending: int = 9) -> Accepted:
    return records.accept(connection, event, now_ms=now_ms, max_pending=max_pending)


def listed(connection: sa.Connection, *attachments: Listed) -> list[Work]:
    return records.record_listing(connection, "m", attachments or (PDF, LOGO), now_ms=2000)


def stored(connection: sa.Connection) -> None:
    wanted = records.begin_fetch(connection, "m", "a", 1)
    assert wanted is not None
    records.record_stored(connection, wanted, storage_key="k", size=10, sha256="d", now_ms=3000)


def unfinished(connection: sa.Connection, *, due_before_ms: int = 10_000, limit: int = 99) -> list[Work]:
    return records.unfinished(connection, due_before_ms=due_before_ms, limit=limit)


def test_the_migrations_make_the_tables(engine: sa.Engine) -> None:
    inspector = sa.inspect(engine)
    for table in METADATA.sorted_tables:
        columns = {column["name"]: column["nullable"] for column in inspector.get_columns(table.name)}
        assert columns == {column.name: column.nullable for column in table.columns}


def test_pending_rows_are_found_by_an_index(connection: sa.Connection) -> None:
    for table in ("events", "attachments"):
        plan = connection.execute(sa.text(f"EXPLAIN QUERY PLAN SELECT 1 FROM {table} WHERE status = 'pending'"))
        assert f"ix_{table}_pending" in str(plan.fetchall())


def test_from_the_event_to_stored(connection: sa.Connection) -> None:
    assert accept(connection) == Accepted(overloaded=False, work=(LISTING,))
    assert records.begin_listing(connection, "m", 1) == (EVENT, 0)
    assert records.progress(connection, "m") == Progress(done=False, stored=0, skipped=0, failed=0)
    assert listed(connection) == [FETCHING]
    assert records.begin_listing(connection, "m", 1) is None
    wanted = records.begin_fetch(connection, "m", "a", 1)
    assert wanted is not None
    assert (wanted.name, wanted.mailbox, wanted.tries) == ("invoice.pdf", "invoices@example.test", 0)
    stored(connection)
    assert records.begin_fetch(connection, "m", "a", 1) is None
    assert records.progress(connection, "m") == Progress(done=True, stored=1, skipped=1, failed=0)
    assert unfinished(connection) == []


def test_an_event_that_comes_again_asks_for_nothing_new(connection: sa.Connection) -> None:
    accept(connection)
    assert accept(connection).work == ()
    listed(connection)
    assert accept(connection).work == ()
    stored(connection)
    assert accept(connection).work == ()


def test_an_event_that_comes_again_asks_again_for_what_failed(connection: sa.Connection) -> None:
    accept(connection)
    listed(connection)
    records.record_failed(connection, FETCHING, reason="not_found", now_ms=3000)
    assert accept(connection, now_ms=4000).work == (Work("m", "a", 2, 4000),)


def test_listing_twice_changes_nothing(connection: sa.Connection) -> None:
    accept(connection)
    listed(connection)
    stored(connection)
    assert listed(connection, PDF, LOGO, PDF) == []


def test_too_much_pending_is_refused_but_what_is_known_is_not(connection: sa.Connection) -> None:
    accept(connection, max_pending=1)
    other = Event("other", "", "", "")
    assert accept(connection, other, max_pending=1) == Accepted(overloaded=True)
    assert not accept(connection, max_pending=1).overloaded
    listed(connection)
    assert not accept(connection, other, max_pending=1).overloaded


def test_the_next_attempt_is_written_down_and_the_last_one_is_over(connection: sa.Connection) -> None:
    accept(connection)
    following = records.postpone(connection, LISTING, reason="rate_limited", due_at_ms=9000, now_ms=3000)
    assert following == Work("m", None, 2, 9000)
    assert records.begin_listing(connection, "m", 1) is None
    assert records.begin_listing(connection, "m", 2) == (EVENT, 1)
    assert unfinished(connection) == [following]


def test_a_late_failure_does_not_undo_what_is_stored(connection: sa.Connection) -> None:
    accept(connection)
    listed(connection)
    stored(connection)
    records.record_failed(connection, FETCHING, reason="not_found", now_ms=4000)
    records.postpone(connection, FETCHING, reason="x", due_at_ms=1, now_ms=4000)
    assert records.progress(connection, "m").stored == 1


def test_what_is_shown_and_asked_again(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        accept(connection)
        accept(connection, Event("broken", "x@example.test", "", ""), now_ms=1001)
        listed(connection)
        records.record_failed(connection, FETCHING, reason="not_found", now_ms=3000)
        records.record_failed(connection, Work("broken", None, 1, 0), reason="unexpected_answer", now_ms=3000)
    shown = [(entry.message_id, entry.attachment_id, entry.status, entry.reason) for entry in entries(engine)]
    assert shown == [
        ("m", "a", "failed", "not_found"),
        ("m", "b", "skipped", "inline_image"),
        ("broken", None, "failed", "unexpected_answer"),
    ]
    assert [entry.name for entry in entries(engine, status=Status.SKIPPED)] == ["logo.png"]
    assert retry(engine, now_ms=5000, message_id="m", attachment_id="b") == 0
    assert retry(engine, now_ms=5000, message_id="m") == 1
    assert retry(engine, now_ms=5000) == 1
    with engine.begin() as connection:
        assert set(unfinished(connection)) == {Work("m", "a", 2, 5000), Work("broken", None, 2, 5000)}


def test_workflow_ids_do_not_run_together() -> None:
    works = [Work("a+b", None, 1, 0), Work("a", "b", 1, 0), Work("a", "b#1", 1, 0), Work("a", "b", 11, 0)]
    assert len({work.workflow_id for work in works}) == len(works)
    assert Work("AAMk=-_", "x=", 3, 0).workflow_id == "AAMk=-_+x=#3"


async def test_calls_that_come_together_share_a_commit(ledger: Ledger) -> None:
    accepted = await asyncio.gather(
        *(
            ledger.call(records.accept, Event(f"m{number}", "", "", ""), now_ms=1, max_pending=99)
            for number in range(50)
        )
    )
    assert len({work.message_id for one in accepted for work in one.work}) == 50
    assert len(await ledger.call(unfinished)) == 50


async def test_a_call_that_fails_does_not_touch_the_others(ledger: Ledger) -> None:
    def broken(connection: sa.Connection) -> None:
        connection.execute(sa.text("SELECT nothing FROM nowhere"))

    results = await asyncio.gather(
        ledger.call(records.accept, EVENT, now_ms=1, max_pending=9),
        ledger.call(broken),
        ledger.call(records.accept, Event("n", "", "", ""), now_ms=1, max_pending=9),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [Accepted, sa.exc.OperationalError, Accepted]
    assert len(await ledger.call(unfinished)) == 2


@pytest.mark.parametrize("error", [ValueError, UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate")])
async def test_a_defect_in_a_call_is_no_harm_to_the_others(ledger: Ledger, error: Exception) -> None:
    def defect(_connection: sa.Connection) -> None:
        raise error

    results = await asyncio.gather(
        ledger.call(records.accept, EVENT, now_ms=1, max_pending=9),
        ledger.call(defect),
        ledger.call(records.accept, Event("n", "", "", ""), now_ms=1, max_pending=9),
        return_exceptions=True,
    )
    assert [isinstance(result, Accepted) for result in results] == [True, False, True]
    assert len(await ledger.call(unfinished)) == 2


def test_what_is_due_first_comes_first_and_no_more_than_asked(connection: sa.Connection) -> None:
    for number, due_at_ms in enumerate((5000, 1000, 3000, 9000)):
        accept(connection, Event(f"m{number}", "", "", ""), now_ms=due_at_ms)
    records.record_listing(connection, "m2", [PDF], now_ms=4000)
    found = [(work.message_id, work.attachment_id) for work in unfinished(connection, due_before_ms=5000)]
    assert found == [("m1", None), ("m2", "a"), ("m0", None)]
    assert [work.message_id for work in unfinished(connection, limit=2)] == ["m1", "m2"]


def test_an_attempt_that_does_not_count_leaves_the_tries(connection: sa.Connection) -> None:
    accept(connection)
    following = records.postpone(connection, LISTING, reason="x", due_at_ms=9, now_ms=3, counted=False)
    assert records.begin_listing(connection, "m", following.attempt) == (EVENT, 0)


def test_the_last_entries_in_their_order(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for number in range(5):
            accept(connection, Event(f"m{number}", "", "", ""), now_ms=number)
    assert [entry.message_id for entry in entries(engine, limit=2)] == ["m3", "m4"]
    assert len(entries(engine)) == 5
