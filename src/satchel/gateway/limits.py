"""The account's rate: a moving minute over all keys of an account (contract section 5)."""

import time
from collections.abc import Callable

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from satchel.contract.errors import RateLimited
from satchel.contract.headers import RateLimitState

_WINDOW_SECONDS = 60


class AccountRate:
    """Counts calls per account and refuses those over the limit; a limit of 0 counts and refuses nothing.

    Only calls that were admitted count, so a client that hammers on does not push its own recovery away.
    """

    def __init__(self, limit_per_minute: int, clock: Callable[[], float] = time.time) -> None:
        self._limit = limit_per_minute
        self._item = RateLimitItemPerMinute(max(1, limit_per_minute))
        self._window = MovingWindowRateLimiter(MemoryStorage())
        self._clock = clock

    async def admit(self, account_id: str, cost: int) -> tuple[bool, RateLimitState | None]:
        """Count one call of an account: whether it may go on, and what is left; None where there is no limit."""
        if self._limit == 0:
            return True, None
        admitted = await self._window.hit(self._item, account_id, cost=cost)
        stats = await self._window.get_window_stats(self._item, account_id)
        reset_seconds = min(float(_WINDOW_SECONDS), max(0.0, stats.reset_time - self._clock()))
        return admitted, RateLimitState(self._limit, _WINDOW_SECONDS, max(0, stats.remaining), reset_seconds)


def rate_limited(state: RateLimitState | None) -> RateLimited:
    """The refusal of a call over the rate, with the time after which one more call is free."""
    wait_seconds = state.reset_seconds if state is not None else float(_WINDOW_SECONDS)
    return RateLimited("Rate limit exceeded.", retry_after_seconds=wait_seconds)
