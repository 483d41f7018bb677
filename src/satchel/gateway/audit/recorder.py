"""Remembers what calls leave behind (refusals for the audit trail, when keys were last used); writes it now and then.

A call only counts in memory; a flood of refusals becomes a few rows a second. What was not written yet is lost by
`kill -9`: about a second of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import sqlalchemy as sa
import structlog

from satchel.contract.errors import Reason
from satchel.gateway.admission import Caller
from satchel.gateway.store.audit import RefusedCalls, record_calls
from satchel.gateway.store.database import Store
from satchel.process.logs import error_place

INTERVAL_SECONDS = 1.0
MAX_GROUPS = 1024
NOT_RECORDED = "not_recorded"
_WRITE_AT_GROUPS = 256
_BAD_KEY = frozenset({Reason.KEY_MISSING, Reason.KEY_INVALID, Reason.KEY_EXPIRED, Reason.TOO_MANY_FAILED_KEYS})
# What the mail server refused, whatever its status: no refusal of ours.
_UPSTREAM = frozenset({Reason.UPSTREAM_THROTTLED, Reason.UPSTREAM_UNAVAILABLE})

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Group:
    """Refusals that are alike; `request_id` is the first one's."""

    account_id: str | None
    request_id: str | None
    count: int


_Alike = tuple[str | None, str | None, str | None, int]


class Recorder:
    """Takes note of every call that has ended; bounded, and never waits for the database.

    Refusals of one key, route, reason and status between two writings become one row with a count. Those for which
    there is no room are counted in a row of their own, whose reason is `not_recorded`.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._refused: dict[_Alike, _Group] = {}
        self._used: dict[str, float] = {}
        self._not_recorded = 0
        self._due = asyncio.Event()
        self._is_ending = False

    def note(self, caller: Caller, route: str | None, status: int, request_id: str) -> None:
        """A call has ended with this status; `route` is its path's template, None where no route took it."""
        key_id = caller.key_id
        if key_id is not None and (status < 400 or caller.refusal not in _BAD_KEY):
            self._used[key_id] = self._clock()
        if status >= 400 and is_refusal(caller, route, status):
            self._count((key_id, route, caller.refusal, status), _Group(caller.account_id, request_id, 1))

    def _count(self, alike: _Alike, calls: _Group) -> None:
        known = self._refused.get(alike)
        if known is not None:
            known.count += calls.count
        elif len(self._refused) < MAX_GROUPS:
            self._refused[alike] = calls
            if len(self._refused) == _WRITE_AT_GROUPS:
                self._due.set()
        else:
            self._not_recorded += calls.count

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write every second inside the block, and once more at its end."""
        writing = asyncio.create_task(self._write_on())
        writing.add_done_callback(_log_defect)
        try:
            yield
        finally:
            self._is_ending = True
            self._due.set()
            await writing

    async def _write_on(self) -> None:
        while not self._is_ending:
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await self._due.wait()
            self._due.clear()
            await self.write()
        await self.write()

    async def write(self) -> None:
        """Write down what was noted since the last time; what the database does not take now is kept for the next."""
        refused, used, not_recorded = self._refused, self._used, self._not_recorded
        if not refused and not used and not not_recorded:
            return
        self._refused, self._used, self._not_recorded = {}, {}, 0
        rows = [
            RefusedCalls(key_id, group.account_id, route, reason, status, group.request_id, group.count)
            for (key_id, route, reason, status), group in refused.items()
        ]
        if not_recorded:
            rows.append(RefusedCalls(None, None, None, NOT_RECORDED, None, None, not_recorded))
        used_at = {key_id: datetime.fromtimestamp(at, UTC) for key_id, at in used.items()}
        now = datetime.fromtimestamp(self._clock(), UTC)
        try:
            await self._store.call(record_calls, rows, used_at, now)
        except sa.exc.SQLAlchemyError as error:
            log.warning("calls_not_written", error=type(error).__name__, count=len(rows), keys=len(used))
            self._take_back(refused, used, not_recorded)

    def _take_back(self, refused: dict[_Alike, _Group], used: dict[str, float], not_recorded: int) -> None:
        newer, self._refused = self._refused, refused
        self._used = used | self._used
        self._not_recorded += not_recorded
        for alike, group in newer.items():
            self._count(alike, replace(group))


def _log_defect(writing: asyncio.Task[None]) -> None:
    """What was no trouble of the database ends the writing; said at once, and raised when the block ends."""
    if not writing.cancelled() and (error := writing.exception()) is not None:
        log.error("recorder_failed", error=type(error).__name__, where=error_place(error))


def is_refusal(caller: Caller, route: str | None, status: int) -> bool:
    """Whether a failure (400 or more) is a refusal that the audit trail tells of.

    That is any 4xx of a route, or of a known key, that is not the mail server's, and a download refused for want of
    room. A path that is no route is none: nothing was asked of the API.
    """
    if status >= 500:
        return caller.refusal == Reason.TOO_MANY_DOWNLOADS
    return (route is not None or caller.key_id is not None) and caller.refusal not in _UPSTREAM
