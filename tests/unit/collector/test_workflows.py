"""What the workflows do to the ledger and ask of the durable engine, with an engine and an API of the test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from math import inf
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from satchel.client import AsyncClient, RetryPolicy
from satchel.collector.asking import AHEAD_SECONDS, FEW_ASKED, MOST_ASKED
from satchel.collector.ledger import Ledger, open_ledger
from satchel.collector.records import Event
from satchel.collector.sinks.sink import Sink
from satchel.collector.tables import events
from satchel.collector.workflows import Collecting, CollectingOptions
from satchel.contract.attachments import Attachment
from satchel.contract.errors import RateLimited
from satchel.contract.headers import RateLimitState


class FakeQueue:
    """Remembers what was asked for; `free` unset holds the enqueuing."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float | None]] = []
        self.most = 0
        self.under_way = 0
        self.free = asyncio.Event()
        self.free.set()

    def register(self, name: str, function: Callable[..., Awaitable[None]], *, concurrency: int) -> None: ...

    async def enqueue(self, name: str, workflow_id: str, *arguments: Any, delay_seconds: float | None = None) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.free.wait()
        self.under_way -= 1
        self.asked.append((workflow_id, delay_seconds))


class FakeClient:
    """An API that fails as told."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.rate_limit: RateLimitState | None = None
        self.calls = 0

    async def list_attachments(self, _message_id: str) -> list[Attachment]:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        return []


class Setting:
    """A Collecting with its ledger on disk."""

    def __init__(self, folder: Path) -> None:
        self.engine = open_ledger(folder)
        self.ledger = Ledger(self.engine)
        self.queue = FakeQueue()
        self.client = FakeClient()
        retry = RetryPolicy(max_attempts=2, base_seconds=1, cap_seconds=1, patience_seconds=inf)
        options = CollectingOptions(rules=[], retry=retry, concurrency=2, jitter=lambda: 0.5)
        client, sink = cast("AsyncClient", self.client), cast("Sink", None)
        self.collecting = Collecting(self.ledger, self.queue, client, sink, options)

    def row(self) -> tuple[str, str | None, int, int]:
        with self.engine.connect() as connection:
            columns = (events.c.status, events.c.reason, events.c.attempt, events.c.tries)
            return cast("tuple[str, str | None, int, int]", tuple(connection.execute(sa.select(*columns)).one()))

    def fill(self, rows: int, *, due_at_ms: int = 0) -> None:
        common = {"mailbox": "", "sender": "", "received": "", "status": "pending", "attempt": 1, "tries": 0}
        times = {"due_at_ms": due_at_ms, "accepted_at_ms": 0, "updated_at_ms": 0}
        with self.engine.begin() as connection:
            connection.execute(
                sa.insert(events), [{"message_id": f"m{number}", **common, **times} for number in range(rows)]
            )


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    made = Setting(tmp_path)
    yield made
    made.queue.free.set()
    await made.collecting.aclose()
    await made.ledger.aclose()


async def accepted(setting: Setting, message_id: str = "m") -> None:
    await setting.collecting.accept(Event(message_id, "", "", ""), max_pending=99_999)


async def asked(setting: Setting, count: int) -> None:
    while len(setting.queue.asked) < count:
        await asyncio.sleep(0)


async def test_a_429_pauses_every_call_and_uses_up_no_attempt(setting: Setting) -> None:
    await accepted(setting)
    setting.client.failure = RateLimited("x", retry_after_seconds=40)
    for attempt in range(1, 6):
        await setting.collecting.list_message("m", attempt)
        assert setting.row() == ("pending", "rate_limited", attempt + 1, 0)
    assert setting.client.calls == 1


async def test_what_is_accepted_in_a_pause_is_asked_for_after_it(setting: Setting) -> None:
    await accepted(setting)
    setting.client.failure = RateLimited("x")
    await setting.collecting.list_message("m", 1)
    await asked(setting, 1)
    setting.queue.asked.clear()
    await accepted(setting, "n")
    await asked(setting, 1)
    assert [delay is not None and delay > 50 for name, delay in setting.queue.asked if name == "n#1"] == [True]


async def test_a_used_up_budget_is_waited_for(setting: Setting) -> None:
    await accepted(setting)
    setting.client.rate_limit = RateLimitState(100, 60, 0, 30.0)
    await setting.collecting.list_message("m", 1)
    assert (setting.client.calls, setting.row()) == (0, ("pending", "rate_limited", 2, 0))


async def test_a_defect_ends_as_failed(setting: Setting) -> None:
    await accepted(setting)
    setting.client.failure = ZeroDivisionError("a secret name")
    await setting.collecting.list_message("m", 1)
    assert setting.row() == ("pending", "internal", 2, 1)
    await setting.collecting.list_message("m", 2)
    assert setting.row() == ("failed", "internal", 2, 2)


async def test_accept_does_not_wait_for_the_queue(setting: Setting) -> None:
    setting.queue.free.clear()
    await accepted(setting)
    assert (setting.row()[0], setting.queue.asked) == ("pending", [])


async def test_a_backlog_is_asked_for_by_and_by(setting: Setting) -> None:
    setting.fill(MOST_ASKED + 500)
    assert await setting.collecting.ask_for_unfinished() == MOST_ASKED
    await asked(setting, MOST_ASKED)
    assert setting.queue.most <= 100
    assert await setting.collecting.ask_for_unfinished() == 0
    await accepted(setting, "late")
    waiting = asyncio.create_task(setting.collecting.until_few(timeout_seconds=inf))
    names = [name for name, _ in setting.queue.asked]
    for name in names[: MOST_ASKED - FEW_ASKED - 1]:
        await setting.collecting.list_message(name.partition("#")[0], 1)
    assert not waiting.done()
    await setting.collecting.list_message(names[-1].partition("#")[0], 1)
    await waiting
    assert await setting.collecting.ask_for_unfinished() == 501
    await asked(setting, MOST_ASKED + 501)
    assert setting.queue.asked[-1][0] == "late#1"


async def test_what_is_due_later_stays_in_the_ledger(setting: Setting) -> None:
    await accepted(setting)
    setting.client.failure = RateLimited("x", retry_after_seconds=AHEAD_SECONDS * 2)
    await setting.collecting.list_message("m", 1)
    assert await setting.collecting.ask_for_unfinished() == 0
    assert [name for name, _ in setting.queue.asked] in ([], ["m#1"])


async def test_it_is_ready_as_long_as_the_ledger_answers(setting: Setting) -> None:
    assert await setting.collecting.answers()
    with setting.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE events RENAME TO gone")
    assert not await setting.collecting.answers()
