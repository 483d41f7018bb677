"""Holds a 404 back until a moment that depends on its request's arrival alone, so that its time tells nothing.

An unknown message, one of a mailbox that is not the key's, and an unknown attachment cost different work (contract
section 3: no timing oracle that a thousand calls can see).
"""

import asyncio
import math
import time

TICK_SECONDS = 0.025


def due_tick(arrived: float, hold_seconds: float) -> int:
    """The tick at which the answer to a request that arrived then goes: the first that is `hold_seconds` away or more
    from the end of the tick in which it came."""
    return math.floor(arrived / TICK_SECONDS) + 1 + math.ceil(hold_seconds / TICK_SECONDS)


class Holding:
    """Lets answers go at the ticks of a clock of its own, all that are due at once, in the order of arrival.

    A timer set by each answer for itself would be rounded to whole milliseconds from when its work ended, and so still
    tell how long that was. The clock starts with the first answer and runs on; only work that takes longer than
    `hold_seconds` shows. 0 holds nothing back.
    """

    def __init__(self, hold_seconds: float) -> None:
        self._hold_seconds = hold_seconds
        self._waiting: list[tuple[int, float, asyncio.Future[None]]] = []
        self._is_ticking = False

    def now(self) -> float:
        """The present, for `until_due`. The loop's own clock counts whole milliseconds; requests that came in one of
        them would be answered in the order in which their work ended."""
        return time.monotonic()

    async def until_due(self, arrived: float) -> None:
        """Return once an answer to a request that arrived then may go."""
        if not self._hold_seconds:
            return
        loop = asyncio.get_running_loop()
        if not self._is_ticking:
            self._is_ticking = True
            self._tick_after(loop, math.floor(self.now() / TICK_SECONDS))
        due: asyncio.Future[None] = loop.create_future()
        self._waiting.append((due_tick(arrived, self._hold_seconds), arrived, due))
        await due

    def _tick_after(self, loop: asyncio.AbstractEventLoop, last: int) -> None:
        # By its number, because a timer may ring up to a millisecond early; those that a busy loop missed are left out.
        number = max(last + 1, math.floor(self.now() / TICK_SECONDS))
        loop.call_later(number * TICK_SECONDS - self.now(), self._tick, loop, number)

    def _tick(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        self._tick_after(loop, number)
        self.release(number)

    def release(self, number: int) -> None:
        """Let go what is due at this tick, whatever the order in which the work ended."""
        ready = sorted((entry for entry in self._waiting if entry[0] <= number), key=lambda entry: entry[1])
        if ready:
            self._waiting = [entry for entry in self._waiting if entry[0] > number]
        for _, _, future in ready:
            if not future.done():
                future.set_result(None)
