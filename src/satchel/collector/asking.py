"""Asks the durable engine for the workflows of rows that are due soon, a bounded number at a time.

What is left out is safe: the ledger has it, and it is asked for when there is room.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import structlog

from satchel.collector import records
from satchel.collector.ledger import Ledger
from satchel.collector.pacing import Pacing
from satchel.collector.records import Wanted, Work

log = structlog.get_logger(__name__)

LIST_WORKFLOW = "list_message"
FETCH_WORKFLOW = "fetch_attachment"
MOST_ASKED = 1000
FEW_ASKED = 250
# Rows due later wait in the ledger. The refill has to come round more often than this.
AHEAD_SECONDS = 60.0
# A workflow that ended without settling its row met a defect; its row is asked for again after this time.
LOST_AFTER_SECONDS = 120.0
_AT_ONCE = 100


class WorkQueue(Protocol):
    """What is needed of the durable engine."""

    def register(self, name: str, function: Callable[..., Awaitable[None]], *, concurrency: int) -> None: ...

    async def enqueue(
        self, name: str, workflow_id: str, *arguments: Any, delay_seconds: float | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class _Asked:
    """A workflow that this process asked for: until when it is not lost, and what spares it a look into the ledger."""

    until: float
    wanted: Wanted | None


class Asking:
    """The rows that this process has asked for. `ask` returns at once: the engine is written to in the background."""

    def __init__(self, ledger: Ledger, queue: WorkQueue, pacing: Pacing) -> None:
        self._ledger = ledger
        self._queue = queue
        self._pacing = pacing
        self._asked: dict[str, _Asked] = {}
        self._outbox: list[Work] = []
        self._writing: asyncio.Task[None] | None = None
        self._left_out = False
        self._few = asyncio.Event()
        self._closed = False

    def ask(self, works: Iterable[Work], known: Mapping[str, Wanted] = MappingProxyType({})) -> None:
        """Ask for what is due soon, as far as there is room. `known` by attachment id is for first attempts."""
        if self._closed:
            return
        now, now_ms = time.monotonic(), _now_ms()
        for work in works:
            delay_seconds = (work.due_at_ms - now_ms) / 1000
            if delay_seconds > AHEAD_SECONDS:
                continue
            if len(self._asked) >= MOST_ASKED and work.workflow_id not in self._asked:
                self._left_out = True
                continue
            wanted = known.get(work.attachment_id) if work.attachment_id is not None and work.attempt == 1 else None
            delay_seconds = max(0.0, delay_seconds, self._pacing.wait_seconds)
            self._asked[work.workflow_id] = _Asked(now + delay_seconds + LOST_AFTER_SECONDS, wanted)
            self._outbox.append(work)
        if self._outbox and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write())

    def known(self, work: Work) -> Wanted | None:
        """What was known of an attachment when it was asked for."""
        asked = self._asked.get(work.workflow_id)
        return asked.wanted if asked is not None else None

    def done(self, work: Work) -> None:
        """The attempt is over, however it ended."""
        self._asked.pop(work.workflow_id, None)
        if self._left_out and len(self._asked) <= FEW_ASKED:
            self._few.set()

    async def refill(self) -> int:
        """Ask for rows that are due soon and that this process has not asked for; returns how many these were."""
        now = time.monotonic()
        self._asked = {name: asked for name, asked in self._asked.items() if asked.until >= now}
        self._left_out = False
        due_before_ms = _now_ms() + int(AHEAD_SECONDS * 1000)
        due = await self._ledger.call(records.unfinished, due_before_ms=due_before_ms, limit=MOST_ASKED)
        lost = [work for work in due if work.workflow_id not in self._asked]
        self.ask(lost)
        self._left_out = self._left_out or len(due) == MOST_ASKED
        return len(lost)

    async def until_few(self, *, timeout_seconds: float) -> None:
        """Return when rows were left out and few are asked for now, or after the time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._few.wait(), timeout_seconds)
        self._few.clear()

    async def aclose(self) -> None:
        """Ask for nothing more. What was not written is asked for at the next start."""
        self._closed = True
        self._outbox.clear()
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        while self._outbox:
            works, self._outbox = self._outbox[:_AT_ONCE], self._outbox[_AT_ONCE:]
            results = await asyncio.gather(*(self._enqueue(work) for work in works), return_exceptions=True)
            failed = [(work, error) for work, error in zip(works, results, strict=True) if error is not None]
            for work, _ in failed:
                self._asked.pop(work.workflow_id, None)
            if failed:
                log.warning("asking_failed", rows=len(failed), error=type(failed[0][1]).__name__)

    async def _enqueue(self, work: Work) -> None:
        ids = (work.message_id,) if work.attachment_id is None else (work.message_id, work.attachment_id)
        delay_seconds = max(0.0, (work.due_at_ms - _now_ms()) / 1000, self._pacing.wait_seconds)
        await self._queue.enqueue(
            LIST_WORKFLOW if work.attachment_id is None else FETCH_WORKFLOW,
            work.workflow_id,
            *ids,
            work.attempt,
            delay_seconds=delay_seconds or None,
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
