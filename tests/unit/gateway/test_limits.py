from satchel.gateway.limits import AccountRate, rate_limited


async def test_calls_over_the_limit_are_refused() -> None:
    rate = AccountRate(3)
    admitted = [(await rate.admit("a", 1)) for _ in range(4)]
    assert [yes for yes, _ in admitted] == [True, True, True, False]
    assert [state.remaining for _, state in admitted if state] == [2, 1, 0, 0]
    assert all(state is not None and 0 < state.reset_seconds <= 60 and state.limit == 3 for _, state in admitted)


async def test_accounts_do_not_share() -> None:
    rate = AccountRate(1)
    assert (await rate.admit("a", 1))[0]
    assert (await rate.admit("b", 1))[0]
    assert not (await rate.admit("a", 1))[0]


async def test_a_call_may_cost_more_than_one() -> None:
    rate = AccountRate(3)
    assert (await rate.admit("a", 2))[0]
    assert not (await rate.admit("a", 2))[0]
    assert (await rate.admit("a", 1))[0]


async def test_no_limit_says_nothing() -> None:
    assert await AccountRate(0).admit("a", 1) == (True, None)


async def test_the_refusal_says_when_to_come_back() -> None:
    rate = AccountRate(1)
    _, state = await rate.admit("a", 1)
    assert state is not None
    assert rate_limited(state).retry_after_seconds == state.reset_seconds
