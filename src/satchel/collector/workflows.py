"""The durable work: list a message, fetch an attachment, each attempt a workflow of its own.

The ledger's rows are the truth and are written first; a workflow only says that a row needs work, and runs again
harmlessly. No workflow waits for another one, nor sleeps.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from satchel.client import AsyncClient, RetryPolicy
from satchel.collector import records
from satchel.collector.asking import AHEAD_SECONDS, FETCH_WORKFLOW, LIST_WORKFLOW, Asking, WorkQueue
from satchel.collector.ledger import Ledger
from satchel.collector.pacing import Pacing
from satchel.collector.records import Accepted, Event, Listed, Progress, Status, Wanted, Work
from satchel.collector.retries import INTERNAL, decide
from satchel.collector.rules import Action, Rule, judge
from satchel.collector.sinks.sink import Sink
from satchel.collector.transfer import transfer
from satchel.contract.attachments import Attachment
from satchel.contract.errors import RateLimited
from satchel.process.logs import error_place

log = structlog.get_logger(__name__)

# A workflow waits for the end of a shorter pause itself; in a longer one it makes room and its row comes again later.
_SHORT_PAUSE_SECONDS = 5.0
_PAUSED = "rate_limited"
_READY_SECONDS = 5.0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class CollectingOptions:
    """`concurrency` bounds the lists and the downloads under way, each; `jitter` draws from 0 to 1."""

    rules: Sequence[Rule]
    retry: RetryPolicy
    concurrency: int
    jitter: Callable[[], float]


class Collecting:
    """Takes events in and sees to it that every wanted attachment is stored once."""

    def __init__(
        self,
        ledger: Ledger,
        queue: WorkQueue,
        client: AsyncClient,
        sink: Sink,
        options: CollectingOptions,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._sink = sink
        self._options = options
        self._pacing = Pacing(time.monotonic)
        self._asking = Asking(ledger, queue, self._pacing)
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        queue.register(LIST_WORKFLOW, self.list_message, concurrency=options.concurrency)
        queue.register(FETCH_WORKFLOW, self.fetch_attachment, concurrency=options.concurrency)

    async def accept(self, event: Event, *, max_pending: int) -> Accepted:
        """Take an event in: when this returns it is on disk, unless it says that there is too much already."""
        accepted = await self._ledger.call(records.accept, event, now_ms=_now_ms(), max_pending=max_pending)
        self._asking.ask(accepted.work)
        return accepted

    async def answers(self) -> bool:
        """Whether the ledger answers, which is all that taking events in needs."""
        try:
            await asyncio.wait_for(self._ledger.call(records.probe), _READY_SECONDS)
        except (SQLAlchemyError, TimeoutError):
            return False
        return True

    async def wait(self, message_id: str, *, timeout_seconds: float) -> Progress:
        """How far a message is, once all of it is settled or the time is over."""
        give_up = time.monotonic() + timeout_seconds
        changed = asyncio.Event()
        self._waiting[message_id].add(changed)
        try:
            while True:
                changed.clear()
                progress = await self._ledger.call(records.progress, message_id)
                left = give_up - time.monotonic()
                if progress.done or left <= 0:
                    return progress
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), left)
        finally:
            self._waiting[message_id].discard(changed)
            if not self._waiting[message_id]:
                del self._waiting[message_id]

    async def list_message(self, message_id: str, attempt: int) -> None:
        """One attempt at listing a message: rules, then its rows in one transaction, then a workflow for each."""
        begun = await self._ledger.call(records.begin_listing, message_id, attempt)
        work = Work(message_id, None, attempt, 0)
        if begun is None:
            return self._forget(work)
        event, tries = begun
        if paused_seconds := await self._paused_seconds():
            return await self._postpone(work, _PAUSED, paused_seconds, counted=False)
        try:
            found = await self._client.list_attachments(message_id)
            self._pacing.observe(self._client.rate_limit)
            listed = [self._judged(attachment, event) for attachment in found]
            wanted = await self._ledger.call(records.record_listing, message_id, listed, now_ms=_now_ms())
        except Exception as failure:  # noqa: BLE001 - a row that meets a defect has to end, too
            return await self._settle_failure(work, failure, tries)
        log.info("message_listed", message_id=message_id, attachments=len(listed), wanted=len(wanted))
        known = {
            one.attachment_id: Wanted(
                message_id, one.attachment_id, one.name, one.content_type, event.mailbox, event.received, tries=0
            )
            for one in listed
        }
        self._asking.ask(wanted, known)
        return self._forget(work)

    def _judged(self, attachment: Attachment, event: Event) -> Listed:
        verdict = judge(self._options.rules, attachment, sender=event.sender, mailbox=event.mailbox)
        return Listed(
            attachment_id=attachment.id,
            name=attachment.name,
            content_type=attachment.content_type,
            listed_bytes=attachment.size,
            status=Status.PENDING if verdict.action is Action.STORE else Status.SKIPPED,
            reason=verdict.reason,
            rule=verdict.rule,
        )

    async def fetch_attachment(self, message_id: str, attachment_id: str, attempt: int) -> None:
        """One attempt at an attachment: download, sink, ledger."""
        work = Work(message_id, attachment_id, attempt, 0)
        wanted = self._asking.known(work)
        if wanted is None:
            wanted = await self._ledger.call(records.begin_fetch, message_id, attachment_id, attempt)
        if wanted is None:
            return self._forget(work)
        if paused_seconds := await self._paused_seconds():
            return await self._postpone(work, _PAUSED, paused_seconds, counted=False)
        try:
            receipt = await transfer(self._client, self._sink, wanted)
            self._pacing.observe(self._client.rate_limit)
            await self._ledger.call(
                records.record_stored,
                wanted,
                storage_key=receipt.key,
                size=receipt.size,
                sha256=receipt.sha256,
                now_ms=_now_ms(),
            )
        except Exception as failure:  # noqa: BLE001 - a row that meets a defect has to end, too
            return await self._settle_failure(work, failure, wanted.tries)
        log.info("attachment_stored", message_id=message_id, attachment_id=attachment_id, bytes=receipt.size)
        return self._forget(work)

    async def _paused_seconds(self) -> float:
        """0 when the API may be called, after the end of a short pause; else how long it may not."""
        self._pacing.observe(self._client.rate_limit)
        while wait_seconds := self._pacing.wait_seconds:
            if wait_seconds > _SHORT_PAUSE_SECONDS:
                return wait_seconds
            await asyncio.sleep(wait_seconds)
        return 0.0

    async def _settle_failure(self, work: Work, failure: Exception, tries: int) -> None:
        if isinstance(failure, RateLimited):
            self._pacing.refused(failure.retry_after_seconds)
        decision = decide(failure, tries, self._options.retry, self._options.jitter())
        log.warning(
            "attempt_failed",
            message_id=work.message_id,
            attachment_id=work.attachment_id,
            attempt=work.attempt,
            reason=decision.reason,
            retry_in_seconds=decision.delay_seconds,
            error=type(failure).__name__,
            where=error_place(failure) if decision.reason == INTERNAL else None,
        )
        if decision.delay_seconds is None:
            await self._ledger.call(records.record_failed, work, reason=decision.reason, now_ms=_now_ms())
            return self._forget(work)
        return await self._postpone(work, decision.reason, decision.delay_seconds, counted=decision.counted)

    async def _postpone(self, work: Work, reason: str, delay_seconds: float, *, counted: bool) -> None:
        now_ms = _now_ms()
        due_at_ms = now_ms + int(delay_seconds * 1000)
        following = await self._ledger.call(
            records.postpone, work, reason=reason, due_at_ms=due_at_ms, now_ms=now_ms, counted=counted
        )
        self._asking.ask([following])
        self._forget(work)

    async def ask_for_unfinished(self) -> int:
        """Ask for rows that are due soon and have no workflow of this process; returns how many these were.

        At the start this takes up what an earlier process left; later on what `retry` asked for, and a backlog by and
        by.
        """
        return await self._asking.refill()

    async def until_few(self, *, timeout_seconds: float) -> None:
        """Return when `ask_for_unfinished` has to be called again; at the latest after the time."""
        await self._asking.until_few(timeout_seconds=min(timeout_seconds, AHEAD_SECONDS / 2))

    async def aclose(self) -> None:
        """Ask the durable engine for nothing more; call it before its shutdown."""
        await self._asking.aclose()

    def _forget(self, work: Work) -> None:
        self._asking.done(work)
        for waiting in self._waiting.get(work.message_id, ()):
            waiting.set()
