"""What is refused for being too much in a minute: an account's calls, and an address's calls without a valid key."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from satchel.contract.errors import RateLimited, Reason
from satchel.contract.headers import RateLimitState
from satchel.gateway.addresses import client_group
from satchel.gateway.limits.downloads import Downloads
from satchel.gateway.limits.windows import WINDOW_SECONDS, Window

_MAX_REFUSED_ADDRESSES = 10_000


class AccountRates:
    """Counts calls per account, over all its keys, and refuses those over its limit (contract section 5).

    `limit_of` tells an account's calls a minute; 0 counts and refuses nothing. Only calls that were admitted count, so
    a client that hammers on does not push its own recovery away.
    """

    def __init__(self, window: Window, limit_of: Callable[[str], int]) -> None:
        self._window = window
        self._limit_of = limit_of

    async def admit(self, account_id: str, cost: int) -> tuple[bool, RateLimitState | None]:
        """Count one call of an account: whether it may go on, and what is left; None where there is no limit."""
        limit = self._limit_of(account_id)
        if limit == 0:
            return True, None
        taken = await self._window.take(account_id, limit, cost)
        return taken.admitted, RateLimitState(limit, WINDOW_SECONDS, taken.remaining, taken.reset_seconds)


def rate_limited(state: RateLimitState | None, cost: int = 1) -> RateLimited:
    """The refusal of a call over the rate, with a time after which it is admitted if no other call comes before it.

    What leaves the window first makes room for one; for a call that costs more the whole window is enough.
    """
    wait_seconds = state.reset_seconds if state is not None and cost == 1 else float(WINDOW_SECONDS)
    return RateLimited("Rate limit exceeded.", retry_after_seconds=wait_seconds)


class FailedKeys:
    """Refuses addresses that make too many calls without a valid key, before their keys are looked at.

    An IPv6 address counts with its /64, which is one customer's. What is refused is remembered here, so that a call
    of any other address costs no question; a gateway that counts with others learns of a refusal at the address's next
    failure with itself.
    """

    def __init__(self, window: Window, limit_per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._window = window
        self._limit = limit_per_minute
        self._clock = clock
        self._refused_until: dict[str, float] = {}

    def check(self, address: str | None) -> None:
        """Raises RateLimited while an address is over its limit."""
        if address is None or not self._refused_until:
            return
        group = client_group(address)
        until = self._refused_until.get(group)
        if until is None:
            return
        wait_seconds = until - self._clock()
        if wait_seconds > 0:
            raise _too_many(wait_seconds)
        del self._refused_until[group]

    async def count(self, address: str | None) -> None:
        """Count a call without a valid key. Raises RateLimited where the address is over its limit already."""
        if address is None or not self._limit:
            return
        group = client_group(address)
        taken = await self._window.take(group, self._limit)
        if taken.remaining == 0:
            self._refuse(group, self._clock() + taken.reset_seconds)
        if not taken.admitted:
            raise _too_many(taken.reset_seconds)

    def _refuse(self, group: str, until: float) -> None:
        # To the end, so that the longest refused is forgotten first; the count itself is not forgotten.
        self._refused_until.pop(group, None)
        self._refused_until[group] = until
        if len(self._refused_until) > _MAX_REFUSED_ADDRESSES:
            del self._refused_until[next(iter(self._refused_until))]


@dataclass(frozen=True, slots=True)
class Limits:
    """All that a call may be too much for."""

    rates: AccountRates
    failed_keys: FailedKeys
    downloads: Downloads
    archives: Downloads
    """Archives only, which cost more than other downloads; each is one of `downloads` too."""


def _too_many(wait_seconds: float) -> RateLimited:
    return RateLimited(
        "Too many calls without a valid key from this address. Check the key, wait, and try again.",
        reason=Reason.TOO_MANY_FAILED_KEYS,
        retry_after_seconds=wait_seconds,
    )
