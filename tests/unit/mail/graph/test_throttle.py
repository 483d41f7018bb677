import asyncio
from collections.abc import Awaitable

import pytest

from satchel.mail.graph.throttle import AdaptiveLimit, Limits, Places
from satchel.mail.source import SourceUnavailable

A, B, C = "a@example.com", "b@example.com", "c@example.com"
LATER = 20.0


def now() -> float:
    return asyncio.get_running_loop().time()


async def refused(taking: Awaitable[object]) -> SourceUnavailable:
    with pytest.raises(SourceUnavailable) as caught:
        await taking
    return caught.value


async def test_places_are_given_in_the_order_of_asking() -> None:
    limit = AdaptiveLimit(2)
    order: list[int] = []

    async def one(number: int) -> None:
        await limit.take(LATER)
        order.append(number)
        await asyncio.sleep(1)
        limit.give_back()

    await asyncio.gather(*map(one, range(9)))
    assert order == list(range(9))
    assert now() == pytest.approx(5)
    assert limit.free == 2


async def test_nobody_passes_those_who_wait() -> None:
    limit = AdaptiveLimit(1)
    await limit.take(LATER)
    first = asyncio.create_task(limit.take(LATER))
    await asyncio.sleep(0)
    limit.give_back()
    # The place is the waiting one's before it has run.
    assert limit.free == 0
    second = asyncio.create_task(limit.take(LATER))
    await asyncio.sleep(0.1)
    assert first.done()
    assert not second.done()
    second.cancel()


async def test_a_wait_for_a_place_ends_with_the_patience() -> None:
    limit = AdaptiveLimit(1)
    await limit.take(LATER)
    error = await refused(limit.take(now() + 3))
    assert now() == pytest.approx(3)
    assert error.upstream_status is None
    assert error.retry_after_seconds
    limit.give_back()
    assert limit.free == 1


async def test_one_who_stops_waiting_leaves_no_gap() -> None:
    limit = AdaptiveLimit(1)
    await limit.take(LATER)
    tasks = [asyncio.create_task(limit.take(LATER)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    limit.give_back()
    # Its turn has just come when it is cancelled.
    tasks[1].cancel()
    await asyncio.wait(tasks, timeout=1)
    assert [task.cancelled() for task in tasks] == [True, True, False]
    limit.give_back()
    assert limit.free == 1


async def test_429_makes_it_smaller_and_success_slowly_larger() -> None:
    limit = AdaptiveLimit(8)
    await asyncio.sleep(1)
    limit.throttled(now(), 0)
    assert limit.size == 4
    # Calls that began before tell nothing new.
    limit.throttled(now() - 0.5, 0)
    assert limit.size == 4
    for _ in range(5):
        await asyncio.sleep(1)
        limit.throttled(now(), 0)
    assert limit.size == 1
    needed = 0
    while limit.size < 2:
        limit.succeeded()
        needed += 1
    assert 8 <= needed <= 16
    for _ in range(2_000):
        limit.succeeded()
    assert limit.size == 8


async def test_a_smaller_limit_lets_nobody_in_until_it_is_kept() -> None:
    limit = AdaptiveLimit(4)
    for _ in range(4):
        await limit.take(LATER)
    limit.throttled(now(), 0)
    waiting = asyncio.create_task(limit.take(LATER))
    await asyncio.sleep(0)
    limit.give_back()
    limit.give_back()
    await asyncio.sleep(0)
    assert not waiting.done()
    limit.give_back()
    await waiting


async def test_a_pause_is_for_all_and_those_who_cannot_wait_know_at_once() -> None:
    limit = AdaptiveLimit(1)
    await limit.take(LATER)
    short, long = (asyncio.create_task(limit.take(until)) for until in (5.0, 30.0))
    await asyncio.sleep(1)
    limit.throttled(now(), 10)
    error = await refused(short)
    assert now() == pytest.approx(1)
    assert (error.upstream_status, error.retry_after_seconds) == (429, pytest.approx(10))
    # One who comes later is told what is left.
    await asyncio.sleep(4)
    error = await refused(limit.take(now() + 3))
    assert (error.upstream_status, error.retry_after_seconds) == (429, pytest.approx(6))
    limit.give_back()
    await long
    assert now() == pytest.approx(11)


async def test_a_pause_that_grows_is_waited_for_again_or_given_up() -> None:
    limit = AdaptiveLimit(2)
    limit.throttled(now(), 2)
    patient, hasty = (asyncio.create_task(limit.take(until)) for until in (30.0, 3.0))
    await asyncio.sleep(1)
    limit.throttled(now(), 5)
    await refused(hasty)
    await patient
    assert now() == pytest.approx(6)


async def test_a_mailbox_that_pauses_keeps_no_place_of_the_application() -> None:
    limits = Limits(most=1, most_per_mailbox=4)
    limits.throttled(A, now(), 10)

    async def pass_through(mailbox: str) -> float:
        (await limits.take(mailbox, LATER)).give_back()
        return now()

    paused = [asyncio.create_task(pass_through(A)) for _ in range(3)]
    await asyncio.sleep(1)
    assert await pass_through(B) == pytest.approx(1)
    assert await asyncio.gather(*paused) == [pytest.approx(10)] * 3


async def test_a_pause_that_begins_while_waiting_for_the_application_is_kept() -> None:
    limits = Limits(most=1, most_per_mailbox=2)
    held = await limits.take(B, LATER)
    waiting = asyncio.create_task(limits.take(A, LATER))
    await asyncio.sleep(0)
    limits.throttled(A, now(), 5)
    held.give_back()
    await asyncio.sleep(1)
    assert not waiting.done()
    # Meanwhile the application's place is free for others.
    (await limits.take(B, LATER)).give_back()
    (await waiting).give_back()
    assert now() == pytest.approx(5)


async def test_one_mailbox_alone_leaves_the_application_as_it_is_two_do_not() -> None:
    limits = Limits(most=8, most_per_mailbox=4)
    await asyncio.sleep(1)
    limits.throttled(A, now(), 0)
    assert (limits.free(A), limits.free(B)) == (2, 4)
    await asyncio.sleep(60)
    limits.throttled(B, now(), 0)
    await asyncio.sleep(1)
    held = [await limits.take(None, LATER) for _ in range(4)]
    assert limits.free(C) == 4
    limits.throttled(A, now(), 0)
    # The application has four places now, and all are taken.
    assert limits.free(C) == 0
    for each in held:
        each.give_back()


async def test_under_load_and_cancellation_limits_hold_and_nothing_is_lost() -> None:
    limits = Limits(most=6, most_per_mailbox=4)
    in_use: dict[str | None, int] = {None: 0, A: 0, B: 0, C: 0}

    async def call(number: int) -> None:
        mailbox = (A, B, C)[number % 3]
        places: Places = await limits.take(mailbox, now() + 1_000)
        for key in (None, mailbox):
            in_use[key] += 1
        assert in_use[None] <= 6
        assert in_use[mailbox] <= 4
        try:
            await asyncio.sleep(number % 7 / 10)
            if number % 11 == 0:
                limits.throttled(mailbox, places.began, 0.3)
            else:
                limits.succeeded(mailbox)
        finally:
            for key in (None, mailbox):
                in_use[key] -= 1
            places.give_back()
            places.give_back()

    tasks = [asyncio.create_task(call(number)) for number in range(300)]
    for number in range(0, 300, 13):
        await asyncio.sleep(0.05)
        tasks[number].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in results} <= {type(None), asyncio.CancelledError}
    assert in_use == {None: 0, A: 0, B: 0, C: 0}
    await asyncio.sleep(1)
    for _ in range(1_000):
        for mailbox in (A, B, C):
            limits.succeeded(mailbox)
    assert [limits.free(mailbox) for mailbox in (A, B, C)] == [4, 4, 4]


@pytest.mark.parametrize(("most", "most_per_mailbox"), [(64, 4), (4, 64)])
async def test_bodies_leave_a_place_to_other_calls(most: int, most_per_mailbox: int) -> None:
    limits = Limits(most, most_per_mailbox)
    bodies = [await limits.take(A, LATER, for_body=True) for _ in range(3)]
    fourth = asyncio.create_task(limits.take(A, LATER, for_body=True))
    await asyncio.sleep(1)
    assert not fourth.done()
    # Whoever waits for a body keeps no place meanwhile, and is not passed by other bodies.
    other = await limits.take(A, LATER)
    assert limits.free(A) == 0
    fifth = asyncio.create_task(limits.take(A, LATER, for_body=True))
    other.give_back()
    await asyncio.sleep(1)
    assert not fourth.done()
    bodies.pop().give_back()
    bodies.append(await fourth)
    assert not fifth.done()
    await refused(fifth)
    assert now() == pytest.approx(LATER)
    for places in bodies:
        places.give_back()
    assert limits.free(A) == 4
    await limits.take(A, now(), for_body=True)


async def test_a_single_place_is_for_bodies_too() -> None:
    limits = Limits(1, 1)
    (await limits.take(A, LATER, for_body=True)).give_back()
    await limits.take(None, LATER, for_body=True)
    assert limits.free(A) == 0


@pytest.mark.parametrize("throttled", [A, None])
async def test_who_waits_for_a_body_knows_of_a_pause_at_once(throttled: str | None) -> None:
    limits = Limits(2, 64) if throttled is None else Limits(64, 2)
    await limits.take(A, LATER, for_body=True)
    waiting = asyncio.create_task(limits.take(A, LATER, for_body=True))
    await asyncio.sleep(1)
    limits.throttled(throttled, now(), 60.0)
    assert (await refused(waiting)).upstream_status == 429
    assert (await refused(limits.take(A, LATER, for_body=True))).retry_after_seconds == pytest.approx(60)
    assert now() == pytest.approx(1)
