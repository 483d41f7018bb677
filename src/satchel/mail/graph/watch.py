"""What arrives in the mailboxes: each read by itself, from where it was left, and again whenever it may be time."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from satchel.mail.graph.delta import read_cursor, read_folder
from satchel.mail.graph.errors import GraphRefusal
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.options import GraphOptions
from satchel.mail.graph.subscribing import Subscribing
from satchel.mail.host import SourceHost
from satchel.mail.source import Batch, MessageRef, MessageSummary, SourceError, SourceUnavailable

_MAILBOXES_AT_ONCE = 8
_TICK_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
# Written once a mailbox's first round has ended: what is new to it afterwards has arrived.
_ENDED = "ended"

log = structlog.get_logger(__name__)


@dataclass
class _Given:
    """A batch on its way to the consumer; `taken` is done when that asks for the next."""

    batch: Batch
    envelopes: Mapping[str, MessageSummary]
    taken: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class GraphWatch:
    """`MailSource.watch` for Graph, and the subscriptions that make it quick.

    Where a walk through a folder stands is saved after its messages were taken, so a crash repeats some, and loses
    none. One mailbox that cannot be read keeps no other from being read.
    """

    def __init__(
        self,
        http: GraphHttp,
        options: GraphOptions,
        host: SourceHost,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._http = http
        self._options = options
        self._host = host
        self._now = now
        self._jitter = jitter
        self._envelopes: dict[tuple[str, str], MessageSummary] = {}

    def envelope(self, message: MessageRef) -> MessageSummary | None:
        """What is known already of a message in the batch that was given last: of old ones all that there is to say."""
        return self._envelopes.get((message.mailbox, message.message_id))

    async def batches(self) -> AsyncGenerator[Batch]:
        """See `MailSource.watch`. Runs until it is closed."""
        run = _Run(self._http, self._options, self._host, self._now, self._jitter)
        tasks = run.start()
        try:
            while True:
                given = await run.next()
                self._envelopes = {(each.ref.mailbox, key): each for key, each in given.envelopes.items()}
                yield given.batch
                if not given.taken.done():
                    given.taken.set_result(None)
        finally:
            self._envelopes = {}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _Run:
    """One watch, from its start to its end: a task for each mailbox, and one for what they have in common."""

    def __init__(
        self,
        http: GraphHttp,
        options: GraphOptions,
        host: SourceHost,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self._http = http
        self._options = options
        self._host = host
        self._now = now
        self._jitter = jitter
        self._given: asyncio.Queue[_Given | asyncio.Task[None]] = asyncio.Queue()
        self._places = asyncio.Semaphore(_MAILBOXES_AT_ONCE)
        self._asked = {mailbox: asyncio.Event() for mailbox in options.mailboxes}
        self._first = set(options.mailboxes)
        self._read: set[str] = set()
        self._subscribing = Subscribing(http, options.arrivals, options.mailboxes, host, on_gap=self._ask, now=now)

    def start(self) -> Sequence[asyncio.Task[None]]:
        works = [self._tend(), *(self._follow(number, each) for number, each in enumerate(self._options.mailboxes, 1))]
        tasks = [asyncio.create_task(work) for work in works]
        for task in tasks:
            # None of them ends by itself, except by a defect or when the host fails: then the watch fails with it.
            task.add_done_callback(self._given.put_nowait)
        return tasks

    async def next(self) -> _Given:
        given = await self._given.get()
        if isinstance(given, asyncio.Task):
            given.result()
            raise SourceUnavailable("The watch has come to an end.")
        return given

    def _ask(self, mailbox: str) -> None:
        if (asked := self._asked.get(mailbox)) is not None:
            asked.set()

    async def _tend(self) -> None:
        """Subscriptions, and requests to catch up."""
        if not self._options.mailboxes:
            await self._give(Batch(ends_first_pass=True))
        while True:
            for mailbox in await self._host.take_catch_up_requests():
                self._ask(mailbox)
            await self._subscribing.tick()
            await asyncio.sleep(_TICK_SECONDS)

    async def _follow(self, number: int, mailbox: str) -> None:
        """Read a mailbox, now and whenever it is time; `number` is its place in the settings, for the logs."""
        failures = 0
        asked = self._asked[mailbox]
        while True:
            asked.clear()
            retry_after: float | None = None
            try:
                async with self._places:
                    await self._read_mailbox(mailbox)
                failures = 0
            except (GraphRefusal, SourceError) as error:
                failures += 1
                retry_after = getattr(error, "retry_after_seconds", None)
                status = error.status if isinstance(error, GraphRefusal) else getattr(error, "upstream_status", None)
                log.warning(
                    "mailbox_not_read", number=number, error=type(error).__name__, status=status, attempt=failures
                )
            await self._end_first(mailbox)
            pause_seconds = self._pause_seconds(mailbox, failures, retry_after)
            if failures:
                # Somebody who asks does not make it well.
                await asyncio.sleep(pause_seconds)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await asked.wait()

    def _pause_seconds(self, mailbox: str, failures: int, retry_after: float | None) -> float:
        arrivals = self._options.arrivals
        if failures:
            doubled = _FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 20) * (0.5 + self._jitter() / 2)
            return min(max(doubled, retry_after or 0.0), _LONGEST_PAUSE_SECONDS)
        return arrivals.catch_up_seconds if self._subscribing.covers(mailbox) else arrivals.poll_seconds

    async def _read_mailbox(self, mailbox: str) -> None:
        ended_key = f"{mailbox}/"
        is_known = await self._host.cursor(ended_key) == _ENDED
        for folder in self._options.arrivals.folders:
            key = f"{mailbox}/{folder}"
            cursor = read_cursor(await self._host.cursor(key))
            async for step in read_folder(self._http, mailbox, folder, cursor, is_known=is_known, now=self._now):
                if step.messages:
                    await self._give(Batch(step.messages, is_baseline=step.is_baseline), step.envelopes)
                await self._host.save_cursor(key, step.cursor.text())
        if mailbox not in self._read:
            await self._give(Batch(read_to_end=frozenset({mailbox})))
            await self._host.save_cursor(ended_key, _ENDED)
            self._read.add(mailbox)

    async def _end_first(self, mailbox: str) -> None:
        """A mailbox was read, or cannot be: once that is known of all, the first pass has ended."""
        if mailbox in self._first:
            self._first.discard(mailbox)
            if not self._first:
                await self._give(Batch(ends_first_pass=True))

    async def _give(self, batch: Batch, envelopes: Mapping[str, MessageSummary] | None = None) -> None:
        given = _Given(batch, envelopes or {})
        await self._given.put(given)
        await given.taken
