"""Works on the runs of reports, one slice after the other, as durable work; the runs' own rows are the truth."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

import sqlalchemy as sa
import structlog

from satchel.durable.engine import DurableEngine
from satchel.gateway.reports.results import GIVEN_UP_AFTER
from satchel.gateway.store.database import Store
from satchel.gateway.store.report_rows import count_slice
from satchel.gateway.store.reports import fail_run, running_runs

WORKFLOW = "report-run"
_AT_ONCE = 4
# Another process may have begun one.
_POLL_SECONDS = 1.0
# A database that is locked, or whose disk is full, may be well again soon.
_PAUSES_SECONDS = (0.5, 2.0, 8.0, 30.0)

log = structlog.get_logger(__name__)


class ReportRuns:
    """Counts the rows of runs that began here or in another process, and ends those that fail for good.

    Each slice is kept with its run, so a process that is killed is followed by one that goes on from there.
    """

    def __init__(
        self,
        store: Store,
        engine: DurableEngine,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """To be made before the engine is launched."""
        self._store = store
        self._engine = engine
        self._clock = clock
        self._sleep = sleep
        self._woken = asyncio.Event()
        engine.register(WORKFLOW, self.work, concurrency=_AT_ONCE)

    def wake(self) -> None:
        """There is a new run: look at once."""
        self._woken.set()

    async def run(self) -> None:
        """Look for runs that have not ended, whoever began them, until cancelled."""
        while True:
            self._woken.clear()
            try:
                await self.look()
            except (sa.exc.SQLAlchemyError, OSError) as error:
                log.warning("report_runs_interrupted", error=type(error).__name__)
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._woken.wait()

    async def look(self) -> None:
        """Ask for work on every run that has not ended; asking twice is asking once."""
        now = self._clock()
        for run_id in await self._store.call(running_runs, now, given_up_before=now - GIVEN_UP_AFTER):
            await self._engine.enqueue(WORKFLOW, run_id, run_id)

    async def work(self, run_id: str) -> None:
        """Count a run from where it stands to its end. A database that fails again and again fails the run, as soon as
        it takes that."""
        failures = 0
        has_more = True
        while has_more:
            try:
                has_more = await self._go_on(run_id, gives_up=failures > len(_PAUSES_SECONDS))
                failures = 0
            except sa.exc.SQLAlchemyError as error:
                log.warning("report_interrupted", run_id=run_id, error=type(error).__name__)
                await self._sleep(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)])
                failures += 1
        log.info("report_ended", run_id=run_id)

    async def _go_on(self, run_id: str, *, gives_up: bool) -> bool:
        """Count one slice, or end the run as failed; whether there is more to do."""
        now = self._clock()
        if gives_up:
            await self._store.call(fail_run, run_id, now)
            return False
        return await self._store.call(count_slice, run_id, now, given_up_before=now - GIVEN_UP_AFTER)
