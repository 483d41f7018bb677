"""The durable work: list a message, fetch an attachment, each attempt a workflow of its own.

The ledger's rows are the truth and are written first; a workflow only says that a row needs work, and runs again
harmlessly. No workflow waits for another one, nor sleeps.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

import structlog

from satchel.client import AsyncClient, ClientError, RetryPolicy
from satchel.collector import records
from satchel.collector.ledger import Ledger
from satchel.collector.records import Accepted, Event, Listed, Progress, Status, Wanted, Work
from satchel.collector.retries import AttemptError, decide
from satchel.collector.rules import Action, Rule, judge
from satchel.collector.sinks.sink import Sink, SinkError
from satchel.collector.transfer import transfer
from satchel.contract.attachments import Attachment
from satchel.contract.errors import ApiError
from satchel.durable.engine import DurableEngine

log = structlog.get_logger(__name__)

LIST_WORKFLOW = "list_message"
FETCH_WORKFLOW = "fetch_attachment"
# A workflow that ended without settling its row met a defect; its row is asked for again after this time.
LOST_AFTER_SECONDS = 120.0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class CollectingOptions:
    """`concurrency` bounds the lists and the downloads under way, each; `jitter` draws from 0 to 1."""

    rules: Sequence[Rule]
    retry: RetryPolicy
    concurrency: int
    jitter: Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A workflow that this process asked for: until when it is not lost, and what spares it a look into the ledger."""

    until: float
    wanted: Wanted | None


class Collecting:
    """Takes events in and sees to it that every wanted attachment is stored once."""

    def __init__(
        self,
        ledger: Ledger,
        engine: DurableEngine,
        client: AsyncClient,
        sink: Sink,
        options: CollectingOptions,
    ) -> None:
        self._ledger = ledger
        self._engine = engine
        self._client = client
        self._sink = sink
        self._options = options
        self._asked: dict[str, _Asked] = {}
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        engine.register(LIST_WORKFLOW, self.list_message, concurrency=options.concurrency)
        engine.register(FETCH_WORKFLOW, self.fetch_attachment, concurrency=options.concurrency)

    async def accept(self, event: Event, *, max_pending: int) -> Accepted:
        """Take an event in: when this returns it is on disk, unless it says that there is too much already."""
        accepted = await self._ledger.call(records.accept, event, now_ms=_now_ms(), max_pending=max_pending)
        await self._ask(accepted.work)
        return accepted

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
        try:
            found = await self._client.list_attachments(message_id)
        except (ApiError, ClientError) as failure:
            return await self._settle_failure(work, failure, tries)
        listed = [self._judged(attachment, event) for attachment in found]
        wanted = await self._ledger.call(records.record_listing, message_id, listed, now_ms=_now_ms())
        log.info("message_listed", message_id=message_id, attachments=len(listed), wanted=len(wanted))
        known = {
            one.attachment_id: Wanted(
                message_id, one.attachment_id, one.name, one.content_type, event.mailbox, event.received, tries=0
            )
            for one in listed
        }
        await self._ask(wanted, known)
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
        asked = self._asked.get(work.workflow_id)
        wanted = asked.wanted if asked is not None else None
        if wanted is None:
            wanted = await self._ledger.call(records.begin_fetch, message_id, attachment_id, attempt)
        if wanted is None:
            return self._forget(work)
        try:
            receipt = await transfer(self._client, self._sink, wanted)
        except (ApiError, ClientError, SinkError) as failure:
            return await self._settle_failure(work, failure, wanted.tries)
        await self._ledger.call(
            records.record_stored,
            wanted,
            storage_key=receipt.key,
            size=receipt.size,
            sha256=receipt.sha256,
            now_ms=_now_ms(),
        )
        log.info("attachment_stored", message_id=message_id, attachment_id=attachment_id, bytes=receipt.size)
        return self._forget(work)

    async def _settle_failure(self, work: Work, failure: AttemptError, tries: int) -> None:
        decision = decide(failure, tries, self._options.retry, self._options.jitter())
        log.warning(
            "attempt_failed",
            message_id=work.message_id,
            attachment_id=work.attachment_id,
            attempt=work.attempt,
            reason=decision.reason,
            retry_in_seconds=decision.delay_seconds,
        )
        now_ms = _now_ms()
        if decision.delay_seconds is None:
            await self._ledger.call(records.record_failed, work, reason=decision.reason, now_ms=now_ms)
            return self._forget(work)
        due_at_ms = now_ms + int(decision.delay_seconds * 1000)
        following = await self._ledger.call(
            records.postpone, work, reason=decision.reason, due_at_ms=due_at_ms, now_ms=now_ms
        )
        await self._ask([following])
        return self._forget(work)

    async def ask_for_unfinished(self) -> int:
        """Ask for every row that is pending and has no workflow of this process; returns how many these were.

        At the start this takes up what an earlier process left; later on what `retry` asked for.
        """
        pending = await self._ledger.call(records.unfinished)
        now = time.monotonic()
        lost = [work for work in pending if (asked := self._asked.get(work.workflow_id)) is None or asked.until < now]
        await self._ask(lost)
        return len(lost)

    async def _ask(self, works: Iterable[Work], known: Mapping[str, Wanted] = MappingProxyType({})) -> None:
        """Enqueue; the id makes it harmless to ask twice. `known` by attachment id is for first attempts."""
        now, now_ms = time.monotonic(), _now_ms()
        asking = []
        for work in works:
            delay_seconds = max(0.0, (work.due_at_ms - now_ms) / 1000)
            wanted = known.get(work.attachment_id) if work.attachment_id is not None and work.attempt == 1 else None
            self._asked[work.workflow_id] = _Asked(now + delay_seconds + LOST_AFTER_SECONDS, wanted)
            ids = (work.message_id,) if work.attachment_id is None else (work.message_id, work.attachment_id)
            asking.append(
                self._engine.enqueue(
                    LIST_WORKFLOW if work.attachment_id is None else FETCH_WORKFLOW,
                    work.workflow_id,
                    *ids,
                    work.attempt,
                    delay_seconds=delay_seconds or None,
                )
            )
        await asyncio.gather(*asking)

    def _forget(self, work: Work) -> None:
        self._asked.pop(work.workflow_id, None)
        for waiting in self._waiting.get(work.message_id, ()):
            waiting.set()
