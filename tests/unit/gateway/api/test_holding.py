"""A held answer goes by when its request came, not by when its work was done."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from satchel.gateway.api.holding import Holding


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def started(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    return task


async def test_an_answer_waits_until_its_hold_is_over() -> None:
    holding = Holding(0.05, Clock())
    held = await started(holding.until_due(100.0))
    holding.release(100.049)
    await asyncio.sleep(0)
    assert not held.done()
    holding.release(100.051)
    await held


async def test_the_moment_is_the_same_however_long_the_work_took() -> None:
    clock = Clock()
    holding = Holding(0.05, clock)
    quick = await started(holding.until_due(100.0))
    clock.now += 0.04
    slow = await started(holding.until_due(100.0))
    holding.release(100.05)
    await asyncio.wait_for(asyncio.gather(quick, slow), 1)


async def test_answers_go_in_the_order_in_which_their_requests_came() -> None:
    holding = Holding(0.05, Clock())
    order: list[str] = []

    async def held(name: str, arrived: float) -> None:
        await holding.until_due(arrived)
        order.append(name)

    later = await started(held("came later, was ready first", 100.01))
    first = await started(held("came first, was ready later", 100.0))
    holding.release(101.0)
    await asyncio.gather(later, first)
    assert order == ["came first, was ready later", "came later, was ready first"]


async def test_a_client_that_went_away_holds_up_nobody() -> None:
    holding = Holding(0.05, Clock())
    gone = await started(holding.until_due(100.0))
    stays = await started(holding.until_due(100.0))
    gone.cancel()
    await asyncio.sleep(0)
    holding.release(101.0)
    await asyncio.wait_for(stays, 1)


async def test_nothing_is_held_where_the_hold_is_off() -> None:
    await asyncio.wait_for(Holding(0, Clock()).until_due(100.0), 1)


async def test_its_clock_ticks_by_itself() -> None:
    holding = Holding(0.001)
    await asyncio.wait_for(holding.until_due(holding.now()), 5)
