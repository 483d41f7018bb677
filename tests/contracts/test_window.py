"""One suite for every place where calls are counted: this process's memory, and a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from satchel.contract.headers import retry_after
from satchel.gateway.limits import redis_window
from satchel.gateway.limits.rates import AccountRates, rate_limited
from satchel.gateway.limits.redis_window import RedisCounts, SharedWindow, open_pool
from satchel.gateway.limits.windows import MemoryWindow, Taken, Window
from tests.redis_server import RedisServer, redis_server

pytestmark = pytest.mark.service


class Clock:
    """Stands until it is moved, at an instant that the library's scripts give back rounded down."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.123_43

    def __call__(self) -> float:
        return self.now


class Refusing:
    """What stands behind a shared window, where nothing may reach it."""

    async def take(self, name: str, limit: int, cost: int = 1) -> Taken:
        raise AssertionError("counted in memory, though Redis answers")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a machine that has other things to do than to answer 250 calls at once."""
    monkeypatch.setattr(redis_window, "_SOCKET_SECONDS", 30.0)
    monkeypatch.setattr(redis_window, "_CALL_SECONDS", 30.0)


@pytest.fixture(params=["memory", "redis"])
async def window(request: pytest.FixtureRequest, clock: Clock, patience: None) -> AsyncIterator[Window]:
    if request.param == "memory":
        yield MemoryWindow(clock)
        return
    counts = RedisCounts(open_pool(request.getfixturevalue("redis").url), clock=clock)
    try:
        yield SharedWindow(counts, uuid4().hex, Refusing())
        assert counts.is_answering
    finally:
        await counts.close()


async def test_the_limit_holds_for_each_name(window: Window) -> None:
    taken = [await window.take("a", 3) for _ in range(5)]
    assert [one.admitted for one in taken] == [True, True, True, False, False]
    assert [one.remaining for one in taken] == [2, 1, 0, 0, 0]
    assert (await window.take("b", 3)).remaining == 2


async def test_a_call_may_take_several(window: Window) -> None:
    assert (await window.take("a", 3, 2)).admitted
    assert not (await window.take("a", 3, 2)).admitted
    assert (await window.take("a", 3, 1)).admitted
    assert not (await window.take("a", 3, 4)).admitted


async def test_a_call_over_any_limit_finds_all_left(window: Window) -> None:
    taken = await window.take("a", 3, 4)
    assert (taken.admitted, taken.remaining) == (False, 3)


async def test_calls_leave_one_by_one_as_they_came(window: Window, clock: Clock) -> None:
    for _ in range(4):
        assert (await window.take("a", 4)).admitted
        clock.now += 10
    clock.now += 19.9
    assert not (await window.take("a", 4)).admitted
    for _ in range(4):
        clock.now += 0.2
        assert (await window.take("a", 4)).admitted
        assert not (await window.take("a", 4)).admitted
        clock.now += 9.8


@pytest.mark.parametrize("pause", [0.0, 0.000_1, 0.3, 12.0, 59.9])
async def test_who_waits_as_told_is_admitted(window: Window, clock: Clock, pause: float) -> None:
    rates = AccountRates(window, lambda _: 2)
    await rates.admit("a", 1)
    clock.now += pause
    await rates.admit("a", 1)
    admitted, state = await rates.admit("a", 1)
    wait_seconds = rate_limited(state).retry_after_seconds
    assert not admitted
    assert wait_seconds is not None
    assert wait_seconds == pytest.approx(60 - pause, abs=0.002)
    clock.now += wait_seconds - 0.01
    assert not (await rates.admit("a", 1))[0]
    clock.now += 0.01 + int(retry_after(wait_seconds)) - wait_seconds
    assert (await rates.admit("a", 1))[0]


async def test_calls_at_once_are_counted_one_by_one(window: Window) -> None:
    taken = await asyncio.gather(*(window.take("a", 100) for _ in range(250)))
    assert sum(one.admitted for one in taken) == 100


@pytest.mark.usefixtures("patience")
async def test_two_gateways_count_together(redis: RedisServer, clock: Clock) -> None:
    both = [RedisCounts(open_pool(redis.url), clock=clock) for _ in range(2)]
    name = uuid4().hex
    try:
        taken = await asyncio.gather(*(both[number % 2].take("account", name, 100) for number in range(250)))
    finally:
        for counts in both:
            await counts.close()
    assert sum(one is not None and one.admitted for one in taken) == 100


async def test_without_redis_each_counts_by_itself_until_it_is_back(clock: Clock) -> None:
    with redis_server() as server:
        counts = RedisCounts(open_pool(server.url), clock=clock, look_again_seconds=0.05)
        window = SharedWindow(counts, "account", MemoryWindow(clock))
        try:
            assert [(await window.take("a", 2)).admitted for _ in range(3)] == [True, True, False]
            server.kill()
            assert [(await window.take("a", 2)).admitted for _ in range(3)] == [True, True, False]
            assert not counts.is_answering
            server.start()
            async with asyncio.timeout(10):
                while not counts.is_answering:
                    await asyncio.sleep(0.02)
            # A Redis that was killed has forgotten both the counts and the scripts.
            assert [(await window.take("a", 2)).admitted for _ in range(3)] == [True, True, False]
            assert counts.is_answering
        finally:
            await counts.close()


async def test_a_redis_that_accepts_and_says_nothing_holds_up_few(clock: Clock) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    counts = RedisCounts(open_pool(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"), clock=clock)
    window = SharedWindow(counts, "account", MemoryWindow(clock))
    try:
        async with asyncio.timeout(10):
            taken = await asyncio.gather(*(window.take("a", 50) for _ in range(100)))
        assert sum(one.admitted for one in taken) == 50
        assert not counts.is_answering
    finally:
        await counts.close()
        server.close()
        await server.wait_closed()


async def test_a_redis_that_is_not_there_is_known_before_the_first_call(clock: Clock) -> None:
    counts = RedisCounts(open_pool("redis://127.0.0.1:1"), clock=clock)
    try:
        await counts.look()
        assert not counts.is_answering
    finally:
        await counts.close()
