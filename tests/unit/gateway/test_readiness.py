"""How a mail source is asked whether it answers, and what follows for the whole."""

import asyncio
from pathlib import Path

import sqlalchemy as sa
from structlog.testing import capture_logs

from satchel.gateway.readiness import PROBE_EVERY_SECONDS, Probe, Readiness, source_probe
from satchel.gateway.store.database import Store
from satchel.mail.source import SourceUnavailable
from tests.unit.gateway.fakes import MemorySource


class CountingSource(MemorySource):
    """Counts how often it is asked, and answers as it is told to."""

    asked = 0
    fails = False
    waits: asyncio.Event | None = None

    async def mailboxes(self) -> list[str]:
        self.asked += 1
        if self.waits is not None:
            await self.waits.wait()
        if self.fails:
            raise SourceUnavailable("down")
        return []


async def test_a_source_is_asked_no_more_than_now_and_then() -> None:
    now = 100.0
    source = CountingSource()
    probe = Probe("source", source.mailboxes, lambda: now)
    assert await probe.look()
    source.fails = True
    now += PROBE_EVERY_SECONDS - 0.1
    assert await probe.look()
    assert source.asked == 1
    now += 0.2
    assert not await probe.look()
    source.fails = False
    assert not await probe.look()
    now += PROBE_EVERY_SECONDS
    assert await probe.look()
    assert source.asked == 3


async def test_who_asks_meanwhile_waits_for_the_same_answer_and_may_leave() -> None:
    source = CountingSource()
    source.waits = asyncio.Event()
    probe = source_probe("a", source)
    first, second = asyncio.create_task(probe.look()), asyncio.create_task(probe.look())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    source.waits.set()
    assert await second
    assert source.asked == 1
    assert first.cancelled()


async def test_one_source_of_two_is_enough(store: Store) -> None:
    good, bad = CountingSource(), CountingSource()
    bad.fails = True
    readiness = Readiness(store, [source_probe("a", good), source_probe("b", bad)], [lambda: {"intake": True}])
    assert await readiness.checks() == {"store": True, "sources": True, "intake": True}
    readiness = Readiness(store, [source_probe("b", bad)])
    assert await readiness.checks() == {"store": True, "sources": False}


async def test_a_store_that_cannot_be_read_is_told_and_logged_once(tmp_path: Path) -> None:
    empty = Store(sa.create_engine(f"sqlite:///{tmp_path}/empty.db"), threads=1)
    readiness = Readiness(empty, [source_probe("a", CountingSource())])
    with capture_logs() as logs:
        for _ in range(2):
            assert await readiness.checks() == {"store": False, "sources": True}
    empty.close()
    (line,) = logs
    assert (line["event"], line["error"]) == ("store_does_not_answer", "OperationalError")
