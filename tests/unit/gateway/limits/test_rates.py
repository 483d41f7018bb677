"""What is refused, and when it is admitted again: judged at the boundary, by a clock that the test moves."""

import pytest

from satchel.contract.errors import RateLimited, Reason
from satchel.contract.headers import retry_after
from satchel.gateway.limits.rates import AccountRates, FailedKeys, rate_limited
from satchel.gateway.limits.windows import MemoryWindow


class Clock:
    """Stands until it is moved. The start is no round number, as real ones are not."""

    def __init__(self) -> None:
        self.now = 1_000.123_456

    def __call__(self) -> float:
        return self.now


def rates(limit: int, clock: Clock | None = None) -> AccountRates:
    return AccountRates(MemoryWindow(clock or Clock()), lambda _: limit)


async def test_calls_over_the_limit_are_refused() -> None:
    account = rates(3)
    admitted = [(await account.admit("a", 1)) for _ in range(4)]
    assert [yes for yes, _ in admitted] == [True, True, True, False]
    assert [state.remaining for _, state in admitted if state] == [2, 1, 0, 0]
    assert all(state is not None and 0 < state.reset_seconds <= 60 and state.limit == 3 for _, state in admitted)


async def test_accounts_share_neither_count_nor_limit() -> None:
    account = AccountRates(MemoryWindow(Clock()), {"a": 1, "b": 2, "free": 0}.__getitem__)
    assert [(await account.admit("a", 1))[0] for _ in range(2)] == [True, False]
    assert [(await account.admit("b", 1))[0] for _ in range(3)] == [True, True, False]
    assert await account.admit("free", 1) == (True, None)


async def test_a_call_may_cost_more_than_one() -> None:
    clock = Clock()
    account = rates(3, clock)
    assert (await account.admit("a", 2))[0]
    clock.now += 30
    refused, state = await account.admit("a", 2)
    assert not refused
    assert rate_limited(state, 2).retry_after_seconds == 60
    assert (await account.admit("a", 1))[0]


@pytest.mark.parametrize("pause", [0.0, 0.25, 17.0, 59.999])
async def test_waiting_as_long_as_told_is_enough_and_no_second_less(pause: float) -> None:
    clock = Clock()
    account = rates(2, clock)
    await account.admit("a", 1)
    clock.now += pause
    await account.admit("a", 1)
    refused, state = await account.admit("a", 1)
    assert not refused
    wait_seconds = rate_limited(state).retry_after_seconds
    assert wait_seconds is not None
    clock.now += wait_seconds - 0.001
    assert not (await account.admit("a", 1))[0]
    clock.now += 0.001 + int(retry_after(wait_seconds)) - wait_seconds
    assert (await account.admit("a", 1))[0]


async def test_refused_calls_do_not_put_off_the_end() -> None:
    clock = Clock()
    account = rates(1, clock)
    await account.admit("a", 1)
    for _ in range(59):
        clock.now += 1
        assert not (await account.admit("a", 1))[0]
    clock.now += 1
    assert (await account.admit("a", 1))[0]


async def test_an_address_over_its_limit_is_refused_unheard() -> None:
    clock = Clock()
    failed = FailedKeys(MemoryWindow(clock), 3, clock)
    for _ in range(3):
        failed.check("192.0.2.1")
        await failed.count("192.0.2.1")
        clock.now += 1
    with pytest.raises(RateLimited) as refusal:
        failed.check("192.0.2.1")
    assert refusal.value.reason == Reason.TOO_MANY_FAILED_KEYS
    assert refusal.value.retry_after_seconds == pytest.approx(57)
    failed.check("192.0.2.2")
    clock.now += 57
    failed.check("192.0.2.1")


async def test_one_more_failure_after_the_wait_is_refused_again() -> None:
    clock = Clock()
    failed = FailedKeys(MemoryWindow(clock), 2, clock)
    for _ in range(2):
        await failed.count("192.0.2.1")
        clock.now += 10
    clock.now += 40
    failed.check("192.0.2.1")
    await failed.count("192.0.2.1")
    with pytest.raises(RateLimited) as refusal:
        failed.check("192.0.2.1")
    assert refusal.value.retry_after_seconds == pytest.approx(10)


async def test_failures_that_others_counted_refuse_the_next() -> None:
    clock = Clock()
    shared = MemoryWindow(clock)
    one, other = FailedKeys(shared, 2, clock), FailedKeys(shared, 2, clock)
    for _ in range(2):
        await one.count("192.0.2.1")
    other.check("192.0.2.1")
    with pytest.raises(RateLimited):
        await other.count("192.0.2.1")
    with pytest.raises(RateLimited):
        other.check("192.0.2.1")


async def test_a_network_of_one_customer_is_one_address() -> None:
    failed = FailedKeys(MemoryWindow(Clock()), 1, Clock())
    await failed.count("2001:db8:1:2::3")
    with pytest.raises(RateLimited):
        failed.check("2001:db8:1:2:ffff::4")
    failed.check("2001:db8:1:3::3")


async def test_failed_keys_without_a_limit_or_an_address() -> None:
    unlimited, limited = FailedKeys(MemoryWindow(Clock()), 0), FailedKeys(MemoryWindow(Clock()), 1)
    for _ in range(5):
        await unlimited.count("192.0.2.1")
        await limited.count(None)
    unlimited.check("192.0.2.1")
    limited.check(None)


async def test_what_is_remembered_of_refused_addresses_is_bounded() -> None:
    failed = FailedKeys(MemoryWindow(Clock(), max_names=100), 1, Clock())
    for number in range(10_050):
        await failed.count(f"10.0.{number // 256}.{number % 256}")
    assert len(failed._refused_until) == 10_000
