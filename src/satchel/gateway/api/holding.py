"""Holds a 404 back until a moment that depends on its request's arrival alone, so that its time tells nothing.

An unknown message, one of a mailbox that is not the key's, and an unknown attachment cost different work (contract
section 3: no timing oracle that a thousand calls can see).
"""

import asyncio
from collections.abc import Callable

TICK_SECONDS = 0.025


class Holding:
    """Lets answers go at the ticks of a clock of its own: the first one that comes `hold_seconds` after the arrival.

    A timer set by each answer for itself would be rounded to whole milliseconds from when its work ended, and so still
    tell how long that was. The clock starts with the first answer and runs on; only work that takes longer than
    `hold_seconds` shows. 0 holds nothing back.
    """

    def __init__(self, hold_seconds: float, clock: Callable[[], float] | None = None) -> None:
        self._hold_seconds = hold_seconds
        self._clock = clock
        self._waiting: list[tuple[float, asyncio.Future[None]]] = []
        self._is_ticking = False

    def now(self) -> float:
        """The present on the clock that arrivals are told by."""
        return self._clock() if self._clock is not None else asyncio.get_running_loop().time()

    async def until_due(self, arrived: float) -> None:
        """Return once an answer to a request that arrived then may go."""
        if not self._hold_seconds:
            return
        loop = asyncio.get_running_loop()
        if not self._is_ticking:
            self._is_ticking = True
            loop.call_later(TICK_SECONDS, self._tick, loop)
        due: asyncio.Future[None] = loop.create_future()
        self._waiting.append((arrived + self._hold_seconds, due))
        await due

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(TICK_SECONDS, self._tick, loop)
        self.release(self.now())

    def release(self, now: float) -> None:
        """Let go what is due, in the order of arrival, whatever the order in which the work ended."""
        ready = sorted((entry for entry in self._waiting if entry[0] <= now), key=lambda entry: entry[0])
        if ready:
            self._waiting = [entry for entry in self._waiting if entry[0] > now]
        for _, future in ready:
            if not future.done():
                future.set_result(None)
