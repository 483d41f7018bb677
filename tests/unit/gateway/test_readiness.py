"""How a mail source is asked whether it answers, and what follows for the whole."""

import asyncio

from satchel.gateway.readiness import PROBE_EVERY_SECONDS, Readiness, SourceProbe
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
    probe = SourceProbe("a", source, clock=lambda: now)
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
    probe = SourceProbe("a", source)
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
    readiness = Readiness(store, [SourceProbe("a", good), SourceProbe("b", bad)], [lambda: {"intake": True}])
    assert await readiness.checks() == {"store": True, "sources": True, "intake": True}
    readiness = Readiness(store, [SourceProbe("b", bad)])
    assert await readiness.checks() == {"store": True, "sources": False}
