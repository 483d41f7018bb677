"""Moving windows of a minute: how many calls a name has left, counted in the memory of this process."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

WINDOW_SECONDS = 60
# Enough for every account, and for the addresses of an attack: a window of one call takes about a kilobyte.
_MAX_NAMES = 100_000


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether a call was admitted, how many more are, and when the oldest of those that count leaves the window."""

    admitted: bool
    remaining: int
    reset_seconds: float


class Window(Protocol):
    """Counts calls by name, each for a minute from its own instant."""

    async def take(self, name: str, limit: int, cost: int = 1) -> Taken:
        """Count a call if no more than `limit` then fall into the last minute. A refused call does not count."""
        ...


class MemoryWindow:
    """Counts in this process alone, and begins anew with it.

    It remembers one instant for each admitted call, no more than `limit` for a name, and forgets idle names. Above
    `max_names` those that were idle longest are forgotten early.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, max_names: int = _MAX_NAMES) -> None:
        self._clock = clock
        self._limiter = MovingWindowRateLimiter(InstantStorage(clock, max_names))

    async def take(self, name: str, limit: int, cost: int = 1) -> Taken:
        item = RateLimitItemPerMinute(limit)
        admitted = await self._limiter.hit(item, name, cost=cost)
        reset_at, remaining = await self._limiter.get_window_stats(item, name)
        return Taken(admitted, max(0, remaining), max(0.0, reset_at - self._clock()))


class InstantStorage(MemoryStorage):
    """The library's storage in memory, with moving windows of our own.

    The library's looks through all names after each call, with a hop to a thread for each: about 30 microseconds of
    processor a call with one name, and that many times more with many. Here a call costs the instants that have left
    the window since the last one.
    """

    def __init__(self, clock: Callable[[], float], max_names: int) -> None:
        super().__init__()
        self._clock = clock
        self._max_names = max_names
        # By last admitted call, the longest ago first.
        self._instants: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._instants)

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = self._clock()
        instants = self._current(key, now - expiry)
        if len(instants) + amount > limit:
            return False
        instants.extend([now] * amount)
        self._instants[key] = instants
        self._instants.move_to_end(key)
        self._forget_idle(now - expiry)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        now = self._clock()
        instants = self._current(key, now - expiry)
        return (instants[0], len(instants)) if instants else (now, 0)

    async def clear(self, key: str) -> None:
        self._instants.pop(key, None)

    async def reset(self) -> int | None:
        count = len(self._instants)
        self._instants.clear()
        return count

    def _current(self, key: str, cutoff: float) -> deque[float]:
        instants = self._instants.get(key)
        if instants is None:
            return deque()
        while instants and instants[0] <= cutoff:
            instants.popleft()
        return instants

    def _forget_idle(self, cutoff: float) -> None:
        # At most two a call: as each call brings one name at most, they never pile up.
        for _ in range(2):
            key, instants = next(iter(self._instants.items()))
            if len(self._instants) <= self._max_names and instants and instants[-1] > cutoff:
                return
            del self._instants[key]
