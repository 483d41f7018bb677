"""A held answer goes by when its request came, not by when its work was done."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import uvloop
from hypothesis import given
from hypothesis import strategies as st

from satchel.gateway.api.holding import TICK_SECONDS, Holding, due_tick

HOLD_SECONDS = 0.05


async def started(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    return task


@given(st.floats(0, 1e7), st.floats(0.001, 5))
def test_an_answer_is_held_at_least_so_long_and_two_ticks_longer_at_most(arrived: float, hold_seconds: float) -> None:
    held_seconds = due_tick(arrived, hold_seconds) * TICK_SECONDS - arrived
    assert hold_seconds - 1e-6 <= held_seconds <= hold_seconds + 2 * TICK_SECONDS + 1e-6


async def test_an_answer_waits_for_its_tick() -> None:
    holding = Holding(HOLD_SECONDS)
    arrived = holding.now()
    held = await started(holding.until_due(arrived))
    holding.release(due_tick(arrived, HOLD_SECONDS) - 1)
    await asyncio.sleep(0)
    assert not held.done()
    holding.release(due_tick(arrived, HOLD_SECONDS))
    await held


async def test_answers_go_in_the_order_in_which_their_requests_came() -> None:
    holding = Holding(HOLD_SECONDS)
    order: list[str] = []

    async def held(name: str, arrived: float) -> None:
        await holding.until_due(arrived)
        order.append(name)

    now = holding.now()
    later = await started(held("came later, was ready first", now + 0.000_01))
    first = await started(held("came first, was ready later", now))
    holding.release(due_tick(now + 1, HOLD_SECONDS))
    await asyncio.gather(later, first)
    assert order == ["came first, was ready later", "came later, was ready first"]


def test_arrivals_are_told_apart_on_every_event_loop() -> None:
    async def arrivals() -> set[float]:
        holding = Holding(HOLD_SECONDS)
        return {holding.now() for _ in range(100)}

    for run in (asyncio.run, uvloop.run):
        assert len(run(arrivals())) > 50


async def test_a_client_that_went_away_holds_up_nobody() -> None:
    holding = Holding(HOLD_SECONDS)
    now = holding.now()
    gone = await started(holding.until_due(now))
    stays = await started(holding.until_due(now))
    gone.cancel()
    await asyncio.sleep(0)
    holding.release(due_tick(now, HOLD_SECONDS))
    await asyncio.wait_for(stays, 1)


async def test_nothing_is_held_where_the_hold_is_off() -> None:
    await asyncio.wait_for(Holding(0).until_due(1e12), 1)


async def test_its_clock_ticks_by_itself() -> None:
    holding = Holding(0.001)
    await asyncio.wait_for(holding.until_due(holding.now()), 5)
