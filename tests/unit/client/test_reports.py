"""How a report is read: what is done next, by what came, without a clock or a server."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from satchel.client import ReportFailed, ReportUnfinished, UnexpectedAnswer
from satchel.client.pages import ReportPage
from satchel.client.reports import Ask, Begin, End, ReportPatience, ReportRequest, Step, Walk, read_report
from satchel.contract.errors import NotFound
from satchel.contract.events import Recipient
from satchel.contract.reports import ReceivedMessage, RunStatus

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
PATIENCE = ReportPatience(base_seconds=1, cap_seconds=6, patience_seconds=20)


def row(number: int) -> ReceivedMessage:
    someone = Recipient()
    return ReceivedMessage(
        id=number,
        message_id=f"m{number}",
        internet_message_id="",
        conversation_id="",
        mailbox_id="",
        received=NOON,
        sender=someone,
        from_=someone,
        subject="",
        has_attachments=True,
    )


def page(*numbers: int, next_href: str | None = None) -> ReportPage:
    return ReportPage(RunStatus.DONE, 100, [row(number) for number in numbers], "/self", next_href)


def running(retry_after_seconds: float | None = None, self_href: str | None = "/self") -> ReportPage:
    return ReportPage(RunStatus.RUNNING, 7, [], self_href, None, retry_after_seconds=retry_after_seconds)


def ids(rows: list[ReceivedMessage]) -> list[int]:
    return [each.id for each in rows]


@pytest.mark.parametrize(("asked", "most_seconds"), [(1, 1), (2, 2), (3, 4), (4, 6), (99_999, 6)])
def test_pauses_double_up_to_the_cap_and_jitter_takes_up_to_half(asked: int, most_seconds: float) -> None:
    assert PATIENCE.pause_seconds(asked, None, 1.0) == most_seconds
    assert PATIENCE.pause_seconds(asked, None, 0.0) == most_seconds / 2
    assert PATIENCE.pause_seconds(asked, 30.0, 1.0) == 30


def test_a_running_report_is_asked_for_until_patience_ends() -> None:
    walk = Walk(PATIENCE)
    assert [walk.after(running(), 1.0) for _ in range(4)] == [Ask("/self", pause) for pause in (1, 2, 4, 6)]
    assert walk.after(running(5), 0.0) == Ask("/self", 5)
    with pytest.raises(ReportUnfinished, match=r"after 20 s \(at 7 %\)") as ended:
        walk.after(running(), 1.0)
    assert (ended.value.transient, ended.value.progress) == (True, 7)


def test_a_long_retry_after_ends_patience_at_once() -> None:
    with pytest.raises(ReportUnfinished):
        Walk(PATIENCE).after(running(21), 0.0)


def test_pages_are_followed_to_the_last() -> None:
    walk = Walk(PATIENCE)
    first, last = page(1, 2, next_href="/2"), page(3)
    assert (ids(walk.take(first)), walk.after(first, 0.5)) == ([1, 2], Ask("/2"))
    assert (ids(walk.take(last)), walk.after(last, 0.5)) == ([3], End())


def test_an_empty_report_ends() -> None:
    walk = Walk(PATIENCE)
    assert (walk.take(page()), walk.after(page(), 0.5)) == ([], End())


def test_rows_of_a_report_that_runs_are_not_taken() -> None:
    early = ReportPage(RunStatus.RUNNING, 50, [row(1)], "/self", None)
    assert Walk(PATIENCE).take(early) == []


def test_rows_that_came_before_are_left_out() -> None:
    walk = Walk(PATIENCE)
    walk.take(page(1, 2, 3, next_href="/2"))
    assert ids(walk.take(page(2, 3, 4))) == [4]


@pytest.mark.parametrize(
    "other", [page(3, 4, next_href="/1"), page(next_href="/9"), page(2), page(1, 2, next_href="/3")]
)
def test_pages_that_get_no_further_are_left_before_rows_are_lost(other: ReportPage) -> None:
    walk = Walk(PATIENCE)
    walk.take(page(3, 4, next_href="/2"))
    with pytest.raises(UnexpectedAnswer, match="lead nowhere"):
        walk.take(other)


def test_a_server_that_begins_anew_with_all_rows_is_read_again_to_where_it_was() -> None:
    walk = Walk(PATIENCE)
    walk.take(page(1, 2, next_href="/2"))
    walk.take(page(3, next_href="/3"))
    walk.gone(NotFound("x"))
    again = [page(1, 2, next_href="/2"), page(3, 4, next_href="/4"), page(5)]
    assert [ids(walk.take(each)) for each in again] == [[], [4], [5]]


def test_a_failed_report_says_why() -> None:
    failed = ReportPage(RunStatus.ERROR, 40, [], "/self", None, reason="internal", message="No room.")
    with pytest.raises(ReportFailed, match="could not make the report: No room") as raised:
        Walk(PATIENCE).after(failed, 0.5)
    assert (raised.value.transient, raised.value.reason) == (False, "internal")


def test_a_report_that_does_not_say_where_it_is_cannot_be_read() -> None:
    with pytest.raises(UnexpectedAnswer, match=r"_links\.self"):
        Walk(PATIENCE).after(running(self_href=None), 0.5)


def test_a_result_that_is_gone_is_begun_anew_behind_the_last_row() -> None:
    walk = Walk(PATIENCE)
    walk.take(page(1, 5, next_href="/2"))
    assert walk.gone(NotFound("x")) == Begin(5)
    assert ids(walk.take(page(5, 6))) == [6]


def test_patience_begins_anew_with_the_report() -> None:
    walk = Walk(PATIENCE)
    walk.after(running(19), 0.5)
    walk.gone(NotFound("x"))
    assert walk.after(running(), 1.0) == Ask("/self", 1)


def test_a_result_that_is_always_gone_is_not_begun_for_ever() -> None:
    walk, failure = Walk(PATIENCE), NotFound("x")
    assert [walk.gone(failure), walk.gone(failure)] == [Begin(None)] * 2
    with pytest.raises(NotFound):
        walk.gone(failure)


def test_every_row_gives_a_result_that_is_gone_a_new_chance() -> None:
    walk = Walk(PATIENCE)
    for number in range(1, 50):
        walk.take(page(number, next_href="/2"))
        assert walk.gone(NotFound("x")) == Begin(number)


class Scripted:
    """Answers in their order, and what was asked."""

    def __init__(self, *answers: ReportPage | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Step] = []
        self.pauses: list[float] = []

    async def begin(self, starting_after: int | None) -> ReportPage:
        return self._next(Begin(starting_after))

    async def ask(self, href: str) -> ReportPage:
        return self._next(Ask(href))

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def rows(self) -> list[int]:
        return [each.id async for each in read_report(self, Walk(PATIENCE), lambda: 1.0, self.sleep)]

    def _next(self, step: Step) -> ReportPage:
        self.asked.append(step)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_report_is_read_from_its_beginning_to_its_end() -> None:
    server = Scripted(
        running(),
        running(),
        page(1, 2, next_href="/2"),
        NotFound("expired"),
        running(),
        page(3, next_href="/3"),
        page(4),
    )
    assert await server.rows() == [1, 2, 3, 4]
    assert server.asked == [Begin(), Ask("/self"), Ask("/self"), Ask("/2"), Begin(2), Ask("/self"), Ask("/3")]
    assert server.pauses == [1, 2, 1]


async def test_a_mailbox_that_is_not_found_is_not_asked_for_again() -> None:
    server = Scripted(NotFound("unknown"))
    with pytest.raises(NotFound, match="unknown"):
        await server.rows()
    assert server.asked == [Begin()]


def test_the_request_in_the_words_of_the_contract() -> None:
    since = datetime(2026, 1, 2, 13, 0, 0, 900_000, timezone(timedelta(hours=1)))
    request = ReportRequest("box", since, since + timedelta(days=1), participants=True, page_rows=7)
    assert request.body() == {
        "parameters": {
            "mailboxId": "box",
            "activityType": "received",
            "activityStart": "2026-01-02T12:00:00Z",
            "activityEnd": "2026-01-03T12:00:01Z",
        }
    }
    assert request.query(41) == {"max": "7", "fieldGroup": "basic,participants", "starting_after": "41"}


def test_the_shortest_request_says_nothing_more() -> None:
    request = ReportRequest("box", NOON)
    assert request.query(None) == {"max": "500"}
    assert "activityEnd" not in request.body()["parameters"]
    assert ReportRequest("box", NOON, NOON).body()["parameters"]["activityEnd"] == "2026-01-02T12:00:00Z"


def test_the_ends_of_the_calendar_can_be_asked_for() -> None:
    request = ReportRequest("box", datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    asked = request.body()["parameters"]
    assert (asked["activityStart"], asked["activityEnd"]) == ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")


@pytest.mark.parametrize(
    "changes",
    [{"page_rows": 0}, {"page_rows": 501}, {"since": NOON.replace(tzinfo=None)}, {"until": NOON.replace(tzinfo=None)}],
)
def test_requests_that_cannot_be_are_refused_before_anything_is_sent(changes: dict[str, object]) -> None:
    arguments: dict[str, object] = {"mailbox_id": "box", "since": NOON} | changes
    with pytest.raises(ValueError, match=r"page_rows|time zone"):
        ReportRequest(**arguments)  # type: ignore[arg-type]
