"""How a report is read to its end: begun, asked for until it is done, then page by page. Decides; asks through a port.

Contract section 11.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from satchel.client.errors import ReportFailed, ReportUnfinished, UnexpectedAnswer
from satchel.client.pages import ReportPage
from satchel.contract.errors import NotFound
from satchel.contract.reports import MAX_PAGE_ROWS, ActivityType, FieldGroup, ReceivedMessage, RunStatus

# A result that is gone before it has given a single row is not begun for ever.
_MOST_FRUITLESS_BEGINNINGS = 3
_CALENDAR_ENDS = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReportPatience:
    """How often a running report is asked for, and for how long.

    A pause is drawn from half to all of `base_seconds * 2**(asked - 1)`, at most `cap_seconds`; a server's
    `Retry-After` is the least. When the pauses together would pass `patience_seconds`, patience has ended.
    """

    base_seconds: float = 0.5
    cap_seconds: float = 15.0
    patience_seconds: float = 900.0

    def pause_seconds(self, asked: int, retry_after_seconds: float | None, jitter: float) -> float:
        """How long to wait after the report was found running for the `asked`th time (from 1)."""
        # The exponent is bounded because 2**1024 is no float.
        most = min(self.cap_seconds, self.base_seconds * 2.0 ** min(asked - 1, 60))
        return max(most * (0.5 + jitter / 2), retry_after_seconds or 0.0)


DEFAULT_PATIENCE = ReportPatience()


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin a report, of the rows behind this one."""

    starting_after: int | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for a page, after a pause."""

    href: str
    pause_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class End:
    """All rows have come."""


Step = Begin | Ask | End


class Walk:
    """Where the reading of a report stands. It is told what came, and says what to do next; it does nothing itself.

    A row is given once: its id is the cursor and increases, so what is not behind the last one was given before.
    Pages that do not increase are refused, since rows would be lost or never end.
    """

    def __init__(self, patience: ReportPatience = DEFAULT_PATIENCE) -> None:
        self._patience = patience
        self._last_id: int | None = None
        self._reached = -1
        self._asked = 0
        self._paused_seconds = 0.0
        self._fruitless_beginnings = 1

    def take(self, page: ReportPage) -> list[ReceivedMessage]:
        """The rows of a page that were not given before. Raises UnexpectedAnswer for one that gets no further."""
        if page.status is not RunStatus.DONE:
            return []
        reached = max((row.id for row in page.rows), default=self._reached)
        if reached <= self._reached and (page.rows or page.next_href):
            raise UnexpectedAnswer("The report's pages lead nowhere: one has nothing behind the one before.")
        self._reached = reached
        new = [row for row in page.rows if self._last_id is None or row.id > self._last_id]
        if new:
            self._last_id = max(row.id for row in new)
            self._fruitless_beginnings = 0
        return new

    def after(self, page: ReportPage, jitter: float) -> Step:
        """What to do after a page; `jitter` is a random number from 0 to 1.

        Raises ReportFailed, ReportUnfinished, and UnexpectedAnswer where the page does not say where to go on.
        """
        if page.status is RunStatus.ERROR:
            told = f": {page.message}" if page.message else "."
            raise ReportFailed(f"The server could not make the report{told}", reason=page.reason)
        if page.status is RunStatus.DONE:
            return End() if page.next_href is None else Ask(page.next_href)
        if page.self_href is None:
            raise UnexpectedAnswer("The answer does not say where to ask for the report (_links.self).")
        self._asked += 1
        pause = self._patience.pause_seconds(self._asked, page.retry_after_seconds, jitter)
        self._paused_seconds += pause
        if self._paused_seconds > self._patience.patience_seconds:
            raise ReportUnfinished(
                f"The report was still being made after {self._patience.patience_seconds:.0f} s "
                f"(at {page.progress} %). Ask again later, for a shorter time, or with more patience.",
                progress=page.progress,
            )
        return Ask(page.self_href, pause)

    def gone(self, failure: NotFound) -> Step:
        """What to do where the result is there no more: begin anew behind the last row. Raises the failure where that
        has not helped before."""
        if self._fruitless_beginnings >= _MOST_FRUITLESS_BEGINNINGS:
            raise failure
        self._fruitless_beginnings += 1
        self._asked, self._paused_seconds, self._reached = 0, 0.0, -1
        return Begin(self._last_id)


class ReportCalls(Protocol):
    """The calls of a report, each retried by itself."""

    async def begin(self, starting_after: int | None) -> ReportPage: ...

    async def ask(self, href: str) -> ReportPage: ...


async def read_report(
    calls: ReportCalls, walk: Walk, random: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
) -> AsyncGenerator[ReceivedMessage]:
    """All rows of a report, in their order, with one page of them in memory."""
    step: Step = Begin()
    while not isinstance(step, End):
        try:
            page = await (calls.begin(step.starting_after) if isinstance(step, Begin) else calls.ask(step.href))
        except NotFound as failure:
            if isinstance(step, Begin):
                raise
            step = walk.gone(failure)
            continue
        for row in walk.take(page):
            yield row
        step = walk.after(page, random())
        if isinstance(step, Ask) and step.pause_seconds > 0:
            await sleep(step.pause_seconds)


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What a report is to tell: the messages that a mailbox received in a time, both ends included.

    Raises ValueError for a time without a zone, and for a page of no rows or of more than 500.
    """

    mailbox_id: str
    since: datetime
    until: datetime | None = None
    page_rows: int = MAX_PAGE_ROWS
    participants: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.page_rows <= MAX_PAGE_ROWS:
            raise ValueError(f"page_rows is {self.page_rows}: a page has 1 to {MAX_PAGE_ROWS} rows.")
        if any(instant is not None and instant.tzinfo is None for instant in (self.since, self.until)):
            raise ValueError("since and until need a time zone, as in datetime.now(UTC).")

    def query(self, starting_after: int | None) -> dict[str, str]:
        """The call's query parameters."""
        query = {"max": str(self.page_rows)}
        if self.participants:
            query["fieldGroup"] = f"{FieldGroup.BASIC},{FieldGroup.PARTICIPANTS}"
        if starting_after is not None:
            query["starting_after"] = str(starting_after)
        return query

    def body(self) -> dict[str, Any]:
        """The call's JSON. Its instants have whole seconds, so the end is rounded up."""
        parameters = {
            "mailboxId": self.mailbox_id,
            "activityType": ActivityType.RECEIVED.value,
            "activityStart": _written(self.since),
        }
        if self.until is not None:
            until = min(self.until, _CALENDAR_ENDS)
            parameters["activityEnd"] = _written(until + timedelta(seconds=1) if until.microsecond else until)
        return {"parameters": parameters}


def _written(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
