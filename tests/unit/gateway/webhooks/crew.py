"""Deliveries over a store, with a queue and a receiver in memory, and crashes in between."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from satchel.gateway.store.attempts import DeliveryPolicy
from satchel.gateway.store.database import Store
from satchel.gateway.webhooks.courier import Courier, CourierOptions
from satchel.gateway.webhooks.decision import DeliveryStatus, Outcome
from satchel.gateway.webhooks.delivery import Bounds, Deliveries
from satchel.gateway.webhooks.schedule import Schedule
from satchel.mail.source import MessageRef
from tests.unit.gateway.fakes import MASTER_KEY

SUCCESS = Outcome(200, b'{"status": "success"}')
AT_ONCE = DeliveryPolicy({Schedule.STANDARD: [0.0, 0.0], Schedule.LONG: [0.0] * 7}, 86_400.0, MASTER_KEY)
BOUNDS = Bounds(in_all=8, per_webhook=4)


@dataclass(frozen=True)
class Post:
    url: str
    secrets: Sequence[str]
    body: bytes
    webhook_id: str

    @property
    def message_id(self) -> str:
        return str(json.loads(self.body)["id"])


class MemoryReceiver:
    """Answers as the test says, and can be slow: `free` unset it hangs, as it does for POSTs that the test says."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answer: Callable[[Post], Outcome | Exception] = lambda _: SUCCESS
        self.free = asyncio.Event()
        self.free.set()
        self.hangs: Callable[[Post], bool] = lambda _: False
        self.under_way = 0
        self.most_under_way = 0

    async def post(self, url: str, secrets: Sequence[str], body: bytes, *, webhook_id: str) -> Outcome:
        post = Post(url, secrets, body, webhook_id)
        self.posts.append(post)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.free.wait()
            if self.hangs(post):
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            outcome = self.answer(post)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        finally:
            self.under_way -= 1

    @property
    def message_ids(self) -> list[str]:
        return [post.message_id for post in self.posts]


@dataclass
class MemoryTexts:
    """Texts by message id; an exception is raised."""

    texts: dict[str, str | Exception | None] = field(default_factory=dict)
    asked: list[tuple[str, str, int]] = field(default_factory=list)

    async def text(self, account_id: str, message: MessageRef, max_characters: int) -> str | None:
        self.asked.append((account_id, message.message_id, max_characters))
        found = self.texts.get(message.message_id)
        if isinstance(found, Exception):
            raise found
        return found


class MemoryQueue:
    """Runs each workflow once per id, at once; after a crash, what had not ended is run again."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[Any, ...]] = {}
        self.ended: set[str] = set()
        self.asked: list[str] = []
        self.error: Exception | None = None
        self._function: Callable[..., Awaitable[None]] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(1)

    def register(self, name: str, function: Callable[..., Awaitable[None]], *, concurrency: int) -> None:
        self._function = function
        self._slots = asyncio.Semaphore(concurrency)

    async def enqueue(self, name: str, workflow_id: str, *arguments: Any, delay_seconds: float | None = None) -> None:
        if self.error is not None:
            raise self.error
        self.asked.append(workflow_id)
        if workflow_id not in self.known:
            self.known[workflow_id] = arguments
            self._start(workflow_id)

    def launch(self) -> None:
        for workflow_id in self.known.keys() - self.ended:
            self._start(workflow_id)

    async def crash(self) -> None:
        """Cut off what runs; it has not ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def is_idle(self) -> bool:
        return not self._tasks

    def _start(self, workflow_id: str) -> None:
        task = asyncio.create_task(self._run(workflow_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, workflow_id: str) -> None:
        assert self._function is not None
        async with self._slots:
            await self._function(*self.known[workflow_id])
        self.ended.add(workflow_id)


@dataclass
class Crew:
    """A process that delivers, as after its start; what it leaves is the store's and the queue's."""

    store: Store
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    receiver: MemoryReceiver = field(default_factory=MemoryReceiver)
    texts: MemoryTexts = field(default_factory=MemoryTexts)
    policy: DeliveryPolicy = AT_ONCE
    bounds: Bounds = BOUNDS
    became: list[DeliveryStatus] = field(default_factory=list)

    @asynccontextmanager
    async def at_work(self, *, looks: bool = True) -> AsyncIterator[Deliveries]:
        """A process, which is killed at the end of the block. It `looks` at the rows, or only does as it is told."""
        options = CourierOptions(max_text_characters=50, jitter=lambda: 0.0, on_attempt=self.became.append)
        courier = Courier(self.store, self.receiver, self.texts, self.policy, options)
        deliveries = Deliveries(self.store, self.queue, courier, self.policy, self.bounds)
        self.queue.launch()
        looking = asyncio.create_task(deliveries.run()) if looks else None
        try:
            yield deliveries
        finally:
            if looking is not None:
                looking.cancel()
                await asyncio.wait({looking})
            await self.queue.crash()


async def until(condition: Callable[[], bool]) -> None:
    """The rows are looked at now and then, so waiting means looking again; pytest's timeout ends it."""
    while not condition():
        await asyncio.sleep(0.001)
