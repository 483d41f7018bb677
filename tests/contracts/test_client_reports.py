"""The SDK's reports against a gateway that is slow, forgetful, overloaded, or wants the key for somebody else."""

import asyncio
import gc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from satchel.client import (
    Ambience,
    AsyncClient,
    Client,
    ConnectionFailed,
    ReportFailed,
    ReportPatience,
    ReportUnfinished,
    RetryPolicy,
    Timeouts,
    UnexpectedAnswer,
)
from satchel.contract.errors import Forbidden, NotFound, RateLimited
from satchel.contract.reports import ReceivedMessage
from satchel.contract.scopes import Scope
from satchel.testing.faults import Html, NoAnswer, Refuse, ShortBody
from satchel.testing.gateway import Call, FakeGateway

ADDRESS = "invoices@example.com"
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
ROWS = 23


class Rig:
    """A gateway with 23 messages in a mailbox, and a client that notes its waits instead of waiting."""

    def __init__(self, gateway: FakeGateway) -> None:
        self.gateway = gateway
        self.waits: list[float] = []
        for number in range(1, ROWS + 1):
            gateway.reports.receive(ADDRESS, f"m{number}")
            gateway.reports.receive("other@example.com", f"o{number}")

    def client(self, retry: RetryPolicy | None = None) -> AsyncClient:
        async def note(seconds: float) -> None:
            self.waits.append(seconds)

        return AsyncClient(
            self.gateway.url,
            self.gateway.api_key,
            retry=retry or RetryPolicy(max_attempts=4, patience_seconds=500),
            timeouts=Timeouts(read_seconds=0.5),
            ambience=Ambience(sleep=note, random=lambda: 1.0),
        )

    async def read(self, retry: RetryPolicy | None = None, page_rows: int = 5) -> list[str]:
        async with self.client(retry) as client:
            found = [row.message_id async for row in client.messages(ADDRESS, LONG_AGO, page_rows=page_rows)]
        assert len(found) == len(set(found))
        return found


EVERYTHING = [f"m{number}" for number in range(1, ROWS + 1)]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with FakeGateway() as gateway:
        yield Rig(gateway)


async def test_a_report_is_asked_for_until_it_is_done_and_paged(rig: Rig) -> None:
    assert await rig.read() == EVERYTHING
    assert [each.call for each in rig.gateway.calls] == ["mailboxes", "report", *["results"] * 7]
    assert rig.waits == [0.5, 1.0, 2.0]
    assert [each.path_qs.partition("?")[2] for each in rig.gateway.calls][-2:] == [
        "max=5&starting_after=29",
        "max=5&starting_after=39",
    ]


async def test_a_report_that_is_done_at_once_is_not_waited_for(rig: Rig) -> None:
    rig.gateway.reports.behaviour.running_answers = 0
    assert await rig.read(page_rows=500) == EVERYTHING
    assert (rig.waits, rig.gateway.count("results")) == ([], 0)


async def test_a_result_that_expires_in_mid_paging_is_begun_anew_and_no_row_comes_twice(rig: Rig) -> None:
    rig.gateway.reports.behaviour.expires_after_pages = 2
    assert await rig.read() == EVERYTHING
    begun = [each.path_qs for each in rig.gateway.calls if each.call == "report"]
    assert [each.partition("starting_after=")[2] for each in begun] == ["", "19", "39"]


async def test_a_result_that_never_lives_to_give_a_row_is_left(rig: Rig) -> None:
    rig.gateway.reports.behaviour.expires_after_pages = 0
    with pytest.raises(NotFound):
        await rig.read()
    assert rig.gateway.count("report") == 3


async def test_what_arrives_meanwhile_makes_no_row_come_twice(rig: Rig) -> None:
    found = []
    async with rig.client() as client:
        async for row in client.messages(ADDRESS, LONG_AGO, page_rows=4):
            found.append(row.message_id)
            rig.gateway.reports.receive(ADDRESS, f"new{len(found)}")
    assert found == EVERYTHING


async def test_a_report_that_stays_running_ends_patience(rig: Rig) -> None:
    rig.gateway.reports.behaviour.running_answers = None
    patience = ReportPatience(base_seconds=1, cap_seconds=8, patience_seconds=30)
    async with rig.client() as client:
        with pytest.raises(ReportUnfinished, match="30 s"):
            await anext(client.messages(ADDRESS, LONG_AGO, patience=patience))
    assert rig.waits == [1, 2, 4, 8, 8]


async def test_a_report_that_failed_is_raised(rig: Rig) -> None:
    rig.gateway.reports.behaviour.fails = True
    with pytest.raises(ReportFailed, match="Planned by the test") as failed:
        await rig.read()
    assert failed.value.reason == "internal"


@pytest.mark.parametrize("call", ["results", "report", "mailboxes"])
async def test_refusals_for_the_rate_are_waited_for(rig: Rig, call: Call) -> None:
    rig.gateway.fail(Refuse(429, retry_after="7"), call=call)
    assert await rig.read() == EVERYTHING
    assert rig.waits.count(7.5) == 1


async def test_three_running_reports_are_waited_for_longer_each_time(rig: Rig) -> None:
    rig.gateway.fail(Refuse(429, reason="too_many_reports"), call="report", times=3)
    assert await rig.read() == EVERYTHING
    assert rig.waits[:3] == [60.5, 121, 182]
    assert rig.gateway.count("report") == 4


async def test_a_fourth_report_is_refused_and_tried_again_as_told(rig: Rig) -> None:
    rig.gateway.reports.behaviour.running_answers = None
    hasty = ReportPatience(patience_seconds=0)
    async with rig.client() as client:
        for _ in range(3):
            with pytest.raises(ReportUnfinished):
                await anext(client.messages(ADDRESS, LONG_AGO, patience=hasty))
        rig.waits.clear()
        with pytest.raises(RateLimited) as refused:
            await anext(client.messages(ADDRESS, LONG_AGO))
    assert (refused.value.reason, rig.waits) == ("too_many_reports", [10.5, 11, 12])


async def test_a_beginning_whose_answer_is_lost_is_made_once_more(rig: Rig) -> None:
    rig.gateway.fail(NoAnswer(), call="report")
    assert await rig.read() == EVERYTHING
    rig.gateway.fail(NoAnswer(), call="report", times=None)
    with pytest.raises(ConnectionFailed):
        await rig.read()
    assert rig.gateway.count("report") == 2 + 2


@pytest.mark.parametrize("fault", [NoAnswer(), Refuse(503), ShortBody(10)], ids=repr)
async def test_pages_that_fail_are_asked_for_again(rig: Rig, fault: NoAnswer | Refuse | ShortBody) -> None:
    rig.gateway.fail(fault, call="results", times=3)
    assert await rig.read() == EVERYTHING
    assert rig.gateway.count("report") == 1


@pytest.mark.parametrize("fault", [Html(), Html(302, location="http://127.0.0.1:9/steal")], ids=repr)
@pytest.mark.parametrize("call", ["mailboxes", "report", "results"])
async def test_what_is_no_answer_of_this_api_is_said_so(rig: Rig, fault: Html, call: Call) -> None:
    rig.gateway.fail(fault, call=call)
    with pytest.raises(UnexpectedAnswer):
        await rig.read()
    assert rig.gateway.calls[-1].call == call


async def test_the_key_goes_nowhere_else_whatever_links_say(rig: Rig) -> None:
    async with FakeGateway(api_key=rig.gateway.api_key) as thief:
        rig.gateway.reports.behaviour.links_root = thief.url
        assert await rig.read() == EVERYTHING
        assert thief.calls == []


@pytest.mark.parametrize("root", ["", "https://127.0.0.1", "http://satchel.internal:8025/behind/a/proxy"])
async def test_links_of_a_server_behind_a_proxy_are_followed(rig: Rig, root: str) -> None:
    rig.gateway.reports.behaviour.links_root = root
    assert await rig.read() == EVERYTHING


@pytest.mark.parametrize("scope", [Scope.REPORTING, Scope.MESSAGES_READ])
async def test_a_missing_scope_is_told(rig: Rig, scope: Scope) -> None:
    rig.gateway.scopes = frozenset({scope})
    with pytest.raises(Forbidden):
        await rig.read()


async def test_a_mailbox_that_the_key_may_not_see_is_not_found(rig: Rig) -> None:
    async with rig.client() as client:
        for mailbox in ("nobody@example.com", "8f5c1f3e-0000-4000-8000-000000000000"):
            with pytest.raises(NotFound):
                await anext(client.messages(mailbox, LONG_AGO))


async def test_arguments_that_cannot_be_are_refused_before_any_call(rig: Rig) -> None:
    async with rig.client() as client:
        with pytest.raises(ValueError, match="time zone"):
            client.messages(ADDRESS, LONG_AGO.replace(tzinfo=None))
    assert rig.gateway.calls == []


async def test_gaps_of_a_foreign_server_are_filled(rig: Rig) -> None:
    rig.gateway.reports.behaviour.extra_fields = {"sender": None, "subject": None, "owner": {"a": 1}, "users": None}
    async with rig.client() as client:
        row = await anext(client.messages(ADDRESS, LONG_AGO))
    assert (row.subject, row.sender.email_address.address) == ("", "ada@supplier.example")


def rows_in_memory() -> int:
    gc.collect()
    return sum(1 for each in gc.get_objects() if type(each) is ReceivedMessage)


async def test_one_page_is_held_at_a_time(rig: Rig) -> None:
    async with rig.client() as client:
        before = rows_in_memory()
        rows = client.messages(ADDRESS, LONG_AGO, page_rows=4)
        held = [rows_in_memory() async for row in rows if row.message_id in {"m9", "m18", "m23"}]
    assert max(held) <= before + 2 * 4


async def test_the_blocking_client_reads_as_it_goes_and_may_be_left_early(rig: Rig) -> None:
    url, key = rig.gateway.url, rig.gateway.api_key
    rig.gateway.reports.behaviour.running_answers = 0

    def use() -> None:
        with Client(url, key) as client:
            assert [each.mailbox_email for each in client.mailboxes()] == [ADDRESS, "other@example.com"]
            rows = client.messages(ADDRESS, LONG_AGO, page_rows=5)
            assert rig.gateway.count("report") == 0
            assert [next(rows).message_id for _ in range(5)] == EVERYTHING[:5]
            assert rig.gateway.count("results") == 0
            rows.close()  # type: ignore[attr-defined]
            assert next(rows, None) is None
            assert [row.message_id for row in client.messages(ADDRESS, LONG_AGO)] == EVERYTHING
            left_open = client.messages(ADDRESS, LONG_AGO)
            next(left_open)
        left_open.close()  # type: ignore[attr-defined]

    await asyncio.to_thread(use)


async def test_the_time_of_a_report_is_kept_to(rig: Rig) -> None:
    noon = datetime(2020, 5, 5, 12, 0, 0, 500_000, tzinfo=UTC)
    for number in range(5):
        rig.gateway.reports.receive("time@example.com", f"t{number}", received=noon + timedelta(seconds=number))
    async with rig.client() as client:
        window = client.messages("Time@Example.com", noon + timedelta(seconds=1), noon + timedelta(seconds=2))
        assert [row.message_id async for row in window] == ["t1", "t2"]
