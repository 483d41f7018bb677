"""Which messages are the rows of a run: counted in slices, paged by numbers, and always the same ones."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
import sqlalchemy as sa

from satchel.contract.events import EmailAddress, Recipient
from satchel.contract.reports import ActivityType, RunStatus
from satchel.gateway.reports.parameters import PageAsked, read_page, read_query
from satchel.gateway.reports.results import result_envelope
from satchel.gateway.store import report_rows
from satchel.gateway.store.messages import Arrival, record_arrivals, record_past
from satchel.gateway.store.report_rows import ReportRow, count_slice, read_result
from satchel.gateway.store.reports import (
    MOST_RUNNING,
    MailboxNotAllowed,
    Run,
    TooManyRuns,
    fail_run,
    remove_runs,
    running_runs,
)
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID
from tests.unit.gateway.fakes import OTHER_MAILBOX, ref, summary
from tests.unit.gateway.reports.conftest import ALL, LONG_AGO, NOW, Begin, Put, count, mailbox_id, result

DAY = datetime(2026, 1, 1, tzinfo=UTC)
BY_TIME = "SEARCH messages USING INDEX ix_messages_mailbox_id_received_id (mailbox_id=? AND received>? AND received<?)"
BY_NUMBER = "SEARCH messages USING INDEX ix_messages_mailbox_id_id_received (mailbox_id=? AND id>? AND id<?)"


def minutes(engine: sa.Engine, run: Run, page: PageAsked = ALL) -> list[int]:
    return [int((row.received - DAY).total_seconds() // 60) for row in result(engine, run, page)[1]]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_rows_are_counted_in_slices_whatever_their_size(engine: sa.Engine, put: Put, begin: Begin, limit: int) -> None:
    # Times in no order, and several messages at one.
    put(5, 1, 9, 3, None)
    put(5, 5, 1, 30, 2, prefix="again")
    put(4, 4, mailbox=OTHER_MAILBOX, prefix="other")
    run = begin(start=DAY + timedelta(minutes=2), end=DAY + timedelta(minutes=9))
    slices = count(engine, run, limit=limit)
    counted, rows = result(engine, run)
    assert (counted.status, counted.progress, counted.total) == (RunStatus.DONE, 100, len(rows))
    assert minutes(engine, run) == [5, 9, 3, 5, 2]
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    assert (counted.first_row_id, counted.last_row_id) == (rows[0].id, rows[-1].id)
    assert slices == len(rows) // limit + 1


def test_progress_grows_and_is_not_whole_before_the_end(engine: sa.Engine, put: Put, begin: Begin) -> None:
    put(*range(20))
    run, seen = begin(), [0]
    while count_slice(engine, run.run_id, NOW, given_up_before=LONG_AGO, limit=3):
        unfinished, rows = result(engine, run)
        assert (unfinished.status, rows) == (RunStatus.RUNNING, [])
        seen.append(unfinished.progress)
    assert seen == sorted(seen)
    assert 0 < seen[-1] < 100


def test_pages_stay_as_they_are_while_messages_arrive(engine: sa.Engine, put: Put, begin: Begin) -> None:
    put(1, 2, 3)
    record_arrivals(engine, DEFAULT_ACCOUNT_ID, [Arrival(ref("unread"), None)])
    put(4, 5)
    run = begin()
    put(0, 6)
    assert count_slice(engine, run.run_id, NOW, given_up_before=LONG_AGO, limit=2)
    put(10, 11)
    count(engine, run, limit=2)
    before = [minutes(engine, run, PageAsked(2, cursor)) for cursor in (None, 2, 4, 5)]
    put(7, 8)
    record_arrivals(engine, DEFAULT_ACCOUNT_ID, [Arrival(ref("unread"), summary(ref("unread"), received=DAY))])
    assert [minutes(engine, run, PageAsked(2, cursor)) for cursor in (None, 2, 4, 5)] == before
    assert before == [[1, 2], [3, 4], [4, 5], [5]]
    assert result(engine, run)[0].total == 5
    # Who reads on behind the last row finds all that came since, what could be read only later among it.
    later = begin()
    count(engine, later)
    assert minutes(engine, later, PageAsked(500, starting_after=6)) == [0, 6, 10, 11, 7, 8, 0]


def test_pages_before_a_cursor_are_in_the_same_order(engine: sa.Engine, put: Put, begin: Begin) -> None:
    put(*range(10))
    run = begin(start=DAY + timedelta(minutes=2), end=DAY + timedelta(minutes=8))
    count(engine, run)
    first, last = (getattr(result(engine, run)[0], name) for name in ("first_row_id", "last_row_id"))
    assert minutes(engine, run, PageAsked(3, ending_before=last)) == [5, 6, 7]
    assert minutes(engine, run, PageAsked(3, ending_before=2**63 - 1)) == [6, 7, 8]
    assert minutes(engine, run, PageAsked(3, ending_before=first + 1)) == [2]
    assert minutes(engine, run, PageAsked(3, ending_before=first)) == []
    assert minutes(engine, run, PageAsked(3, starting_after=0)) == [2, 3, 4]
    assert minutes(engine, run, PageAsked(3, starting_after=last)) == []


@pytest.mark.parametrize("activity_end", [1, 3])
def test_the_past_that_the_watch_comes_to_changes_no_page(
    engine: sa.Engine, begin: Begin, key_id: str, activity_end: int
) -> None:
    past = [summary(ref(f"m{minute}"), received=DAY + timedelta(minutes=minute)) for minute in range(4)]
    record_past(engine, DEFAULT_ACCOUNT_ID, past)
    run = begin(end=DAY + timedelta(minutes=activity_end))
    count(engine, run)
    before = minutes(engine, run)
    now_told = [Arrival(each.ref, replace(each, received=NOW, subject="again")) for each in past]
    record_arrivals(engine, DEFAULT_ACCOUNT_ID, now_told)
    assert minutes(engine, run) == before == list(range(activity_end + 1))
    assert {row.subject for row in result(engine, run)[1]} == {"again"}


def test_a_page_has_room_for_so_much_text(
    engine: sa.Engine, begin: Begin, key_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_rows, "MAX_PAGE_CHARACTERS", 10_000)
    crowd = tuple(Recipient(EmailAddress("", f"{number:0200}@example.test")) for number in range(15))
    arrivals = [Arrival(ref(f"m{number}"), summary(ref(f"m{number}"), to=crowd)) for number in range(6)]
    small = [Arrival(ref(f"s{number}"), summary(ref(f"s{number}"))) for number in range(3)]
    huge = Arrival(ref("huge"), summary(ref("huge"), to=crowd, cc=crowd * 2))
    record_arrivals(engine, DEFAULT_ACCOUNT_ID, [*arrivals[:3], *small, *arrivals[3:], huge])
    run = begin(with_participants=True)
    count(engine, run)
    assert [len(page) for page in pages(engine, run, "next")] == [2, 5, 2, 1]
    assert [len(page) for page in pages(engine, run, "prev")] == [1, 2, 5, 2]
    basic = begin()
    count(engine, basic)
    assert len(result(engine, basic)[1]) == 10


def pages(engine: sa.Engine, run: Run, link: Literal["next", "prev"]) -> list[list[ReportRow]]:
    """The rows of all pages, as the links lead from the first or from the last one."""
    found: list[list[ReportRow]] = []
    page = PageAsked(500, ending_before=2**63 - 1 if link == "prev" else None)
    while True:
        now, rows = result(engine, run, page)
        found.append(rows)
        there = getattr(result_envelope(now, rows, page, "", NOW).links, link)
        if there is None:
            assert sorted(row.id for each in found for row in each) == list(range(1, now.total + 1))
            return found
        page = read_page(read_query(there.href.partition("?")[2].encode()))


def test_participants_are_there_where_they_are_asked_for(engine: sa.Engine, put: Put, begin: Begin) -> None:
    put(1)
    for with_participants in (False, True):
        run = begin(with_participants=with_participants)
        count(engine, run)
        [row] = result(engine, run)[1]
        assert bool(row.to) == with_participants


@pytest.mark.parametrize("activity", [ActivityType.REPLIED, ActivityType.CLOSED])
def test_what_is_not_known_has_no_rows(engine: sa.Engine, put: Put, begin: Begin, activity: ActivityType) -> None:
    put(1)
    run = begin(activity=activity)
    count(engine, run)
    done, rows = result(engine, run)
    assert (done.status, done.total, rows) == (RunStatus.DONE, 0, [])


def test_an_empty_index(engine: sa.Engine, begin: Begin) -> None:
    run = begin()
    count(engine, run)
    assert (result(engine, run)[0].status, result(engine, run)[0].total) == (RunStatus.DONE, 0)


def test_a_mailbox_must_be_the_keys(engine: sa.Engine, begin: Begin) -> None:
    for other in (mailbox_id(engine, OTHER_MAILBOX), "nonsense"):
        with pytest.raises(MailboxNotAllowed):
            begin(mailbox_id=other)


def test_so_many_run_at_once(engine: sa.Engine, begin: Begin) -> None:
    runs = [begin() for _ in range(MOST_RUNNING)]
    with pytest.raises(TooManyRuns):
        begin()
    count(engine, runs[0])
    begin()
    with pytest.raises(TooManyRuns):
        begin()
    fail_run(engine, runs[1].run_id, NOW)
    begin()
    # One on which nobody worked holds nobody up for ever.
    later = NOW + timedelta(hours=2)
    begin(now=later, given_up_before=later - timedelta(hours=1))


def test_who_asks_at_the_same_moment_is_counted_too(begin: Begin) -> None:
    def attempt(_: int) -> bool:
        try:
            begin()
        except TooManyRuns:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(16))) == MOST_RUNNING


def test_a_run_that_takes_too_long_has_failed_for_good(engine: sa.Engine, put: Put, begin: Begin) -> None:
    put(1)
    old, young = begin(now=LONG_AGO - timedelta(seconds=1)), begin()
    assert not count_slice(engine, old.run_id, NOW, given_up_before=LONG_AGO)
    assert running_runs(engine, NOW, given_up_before=LONG_AGO) == [young.run_id]
    count(engine, old)
    found = read_result(engine, old.run_id, PageAsked(), key_id=old.key_id, begun_after=LONG_AGO - timedelta(days=1))
    assert found is not None
    assert found[0].status is RunStatus.ERROR


def test_a_result_is_for_its_key_and_its_day(engine: sa.Engine, begin: Begin) -> None:
    run = begin()
    yesterday = NOW - timedelta(days=1)
    assert read_result(engine, run.run_id, PageAsked(), key_id=run.key_id, begun_after=yesterday) is not None
    assert read_result(engine, run.run_id, PageAsked(), key_id="another", begun_after=yesterday) is None
    assert read_result(engine, run.run_id, PageAsked(), key_id=run.key_id, begun_after=NOW) is None
    assert read_result(engine, "unknown", PageAsked(), key_id=run.key_id, begun_after=yesterday) is None


def test_old_runs_are_removed_some_at_a_time(engine: sa.Engine, begin: Begin) -> None:
    for _ in range(3):
        count(engine, begin())
    young = begin(now=NOW + timedelta(seconds=1))
    assert [remove_runs(engine, NOW + timedelta(seconds=1), 2) for _ in range(3)] == [2, 1, 0]
    assert running_runs(engine, NOW, given_up_before=LONG_AGO) == [young.run_id]


def test_pages_and_slices_are_found_by_an_index(engine: sa.Engine, put: Put, begin: Begin) -> None:
    put(*range(10))
    run = begin()
    with statements(engine) as asked:
        count(engine, run, limit=4)
        for page in (PageAsked(3, starting_after=2), PageAsked(3, ending_before=9)):
            assert len(minutes(engine, run, page)) == 3
    assert plans(engine, asked) == {BY_TIME, BY_NUMBER}


@pytest.mark.parametrize(
    ("pause", "way"), [(0, BY_NUMBER), (report_rows.FEW_ROWS, BY_TIME + "; USE TEMP B-TREE FOR ORDER BY")]
)
def test_pages_are_found_by_the_shorter_way(engine: sa.Engine, put: Put, begin: Begin, pause: int, way: str) -> None:
    put(2, 7, 1)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'messages'", (pause,))
    put(5, 3, 9)
    run = begin(end=DAY + timedelta(minutes=7))
    count(engine, run)
    with statements(engine) as asked:
        assert minutes(engine, run) == [2, 7, 1, 5, 3]
        assert minutes(engine, run, PageAsked(2, starting_after=1)) == [7, 1]
        assert minutes(engine, run, PageAsked(2, ending_before=6 + pause)) == [5, 3]
    assert plans(engine, asked) == {way}


@contextmanager
def statements(engine: sa.Engine) -> Iterator[list[str]]:
    """What is asked of the index within the block, as SQLite takes it."""
    asked: list[str] = []
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.set_trace_callback(
        lambda each: asked.append(each) if each.startswith("SELECT") and "messages." in each else None
    )
    yield asked
    driver.set_trace_callback(None)
    assert asked


def plans(engine: sa.Engine, asked: list[str]) -> set[str]:
    with engine.connect() as connection:
        found = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}").all() for each in asked]
    return {"; ".join(row[3] for row in plan) for plan in found}
