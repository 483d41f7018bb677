"""Places for calls under way, of the application and of each mailbox: as many as the server bears, first come first
served, and none while it has asked for a pause.

Times are those of the event loop (`loop.time()`).
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from satchel.mail.source import SourceUnavailable

_SHRINK = 0.5
# So many times its size must go well before a limit gets one place more.
_GROW_AFTER = 8
# Two mailboxes that are throttled within this time show that it is the application which is too fast.
_TOGETHER_SECONDS = 5.0
_RETRY_WHEN_FULL_SECONDS = 5.0


@dataclass(eq=False, slots=True)
class _Waiter:
    deadline: float
    turn: asyncio.Future[None]


class AdaptiveLimit:
    """At most `most` places; fewer, but at least one, after the server has answered 429, and slowly more again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = float(most)
        self._in_use = 0
        self._waiting: deque[_Waiter] = deque()
        self._paused_until = 0.0
        self._shrunk_at = float("-inf")

    @property
    def size(self) -> int:
        return int(self._size)

    @property
    def free(self) -> int:
        """Places that could be had at once."""
        return max(0, self.size - self._in_use)

    @property
    def shrunk_at(self) -> float:
        return self._shrunk_at

    def pause_left(self) -> float:
        """Seconds until calls may be made."""
        return max(0.0, self._paused_until - _now())

    async def take(self, deadline: float) -> None:
        """Wait for a place, and then for the end of a pause. Raises `SourceUnavailable` when it would pass `deadline`,
        as soon as that is known."""
        self._refuse_beyond(deadline)
        await self._take_place(deadline)
        try:
            await self.rest(deadline)
        except BaseException:
            self.give_back()
            raise

    async def rest(self, deadline: float) -> None:
        """Wait for the end of a pause. Raises `SourceUnavailable`."""
        while left := self.pause_left():
            self._refuse_beyond(deadline)
            await asyncio.sleep(left)

    def give_back(self) -> None:
        self._in_use -= 1
        self._let_in()

    def succeeded(self) -> None:
        """A call went well."""
        self._size = min(float(self._most), self._size + 1 / (_GROW_AFTER * self._size))
        self._let_in()

    def throttled(self, began: float, pause_seconds: float) -> None:
        """A call that began then was answered with 429. Those that began before the last shrinking tell nothing new."""
        if began >= self._shrunk_at:
            self._size = max(1.0, self._size * _SHRINK)
            self._shrunk_at = _now()
        self.pause(pause_seconds)

    def pause(self, pause_seconds: float) -> None:
        """Nobody is let go on for so long; those who cannot wait are told at once."""
        self._paused_until = max(self._paused_until, _now() + pause_seconds)
        for waiter in self._waiting:
            if waiter.deadline < self._paused_until and not waiter.turn.done():
                waiter.turn.set_exception(self._too_long())

    async def _take_place(self, deadline: float) -> None:
        if self.free:
            self._in_use += 1
            return
        waiter = _Waiter(deadline, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                await waiter.turn
        except BaseException as error:
            self._leave(waiter)
            if isinstance(error, TimeoutError):
                raise _no_turn() from None
            raise

    def _leave(self, waiter: _Waiter) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
            # Its turn came in the same moment in which it stopped waiting.
            self.give_back()
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._in_use < self.size:
            turn = self._waiting.popleft().turn
            if not turn.done():
                self._in_use += 1
                turn.set_result(None)

    def _refuse_beyond(self, deadline: float) -> None:
        if self._paused_until > max(deadline, _now()):
            raise self._too_long()

    def _too_long(self) -> SourceUnavailable:
        return SourceUnavailable(
            "The mail server has asked for a longer pause than this call may wait.",
            upstream_status=429,
            retry_after_seconds=self.pause_left(),
        )


class Places:
    """The places of one call. Give them back once; a second time does nothing."""

    def __init__(self) -> None:
        self._held: list[AdaptiveLimit] = []
        self.began = _now()

    async def take(self, limit: AdaptiveLimit, deadline: float) -> None:
        """One more. Raises `SourceUnavailable`."""
        await limit.take(deadline)
        self._held.append(limit)
        self.began = _now()

    def give_back_last(self) -> None:
        self._held.pop().give_back()

    def give_back(self) -> None:
        while self._held:
            self.give_back_last()


class Limits:
    """The application's limit and those of its mailboxes.

    A mailbox's place is taken before the application's and nobody waits for a mailbox's with one in hand, so nobody
    waits in a circle; and while a mailbox pauses, its calls hold no place of the application's.

    A body holds its places as long as its client takes to read it. Of the places of each limit bodies get all but one
    (all of a single one), so that clients which read slowly keep nobody from lists and arrivals.
    """

    def __init__(self, most: int, most_per_mailbox: int) -> None:
        self._most_per_mailbox = most_per_mailbox
        self._app = AdaptiveLimit(most)
        self._mailboxes: dict[str, AdaptiveLimit] = {}
        self._app_bodies = AdaptiveLimit(_for_bodies(most))
        self._mailbox_bodies: dict[str, AdaptiveLimit] = {}

    async def take(self, mailbox: str | None, deadline: float, *, for_body: bool = False) -> Places:
        """Places for one call. Raises `SourceUnavailable`."""
        places = Places()
        try:
            if for_body:
                if mailbox is not None:
                    await places.take(self._bodies_of(mailbox), deadline)
                await places.take(self._app_bodies, deadline)
            await self._take_rest(places, mailbox, deadline)
        except BaseException:
            places.give_back()
            raise
        return places

    async def _take_rest(self, places: Places, mailbox: str | None, deadline: float) -> None:
        own = self._of(mailbox) if mailbox is not None else None
        if own is not None:
            await places.take(own, deadline)
        await places.take(self._app, deadline)
        while own is not None and own.pause_left():
            places.give_back_last()
            await own.rest(deadline)
            await places.take(self._app, deadline)

    def free(self, mailbox: str) -> int:
        """How many calls about a mailbox could begin at once."""
        own = self._of(mailbox)
        return 0 if own.pause_left() or self._app.pause_left() else min(own.free, self._app.free)

    def succeeded(self, mailbox: str | None) -> None:
        self._app.succeeded()
        if mailbox is not None:
            self._of(mailbox).succeeded()

    def throttled(self, mailbox: str | None, began: float, pause_seconds: float) -> None:
        """A 429 about a mailbox is its own, unless others get them at the same time: then the application gets smaller
        too. Graph's pages leave open which limit is meant, and its texts are not to be relied on."""
        if mailbox is None:
            self._app.throttled(began, pause_seconds)
            self._app_bodies.pause(pause_seconds)
            return
        since = _now() - _TOGETHER_SECONDS
        if any(name != mailbox and each.shrunk_at >= since for name, each in self._mailboxes.items()):
            self._app.throttled(began, 0.0)
        self._of(mailbox).throttled(began, pause_seconds)
        self._bodies_of(mailbox).pause(pause_seconds)

    def pause_left(self, mailbox: str | None) -> float:
        return max(self._app.pause_left(), 0.0 if mailbox is None else self._of(mailbox).pause_left())

    def _of(self, mailbox: str) -> AdaptiveLimit:
        return self._mailboxes.setdefault(mailbox, AdaptiveLimit(self._most_per_mailbox))

    def _bodies_of(self, mailbox: str) -> AdaptiveLimit:
        return self._mailbox_bodies.setdefault(mailbox, AdaptiveLimit(_for_bodies(self._most_per_mailbox)))


def _for_bodies(most: int) -> int:
    return max(1, most - 1)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _no_turn() -> SourceUnavailable:
    return SourceUnavailable(
        "Too many calls to the mail server are under way.", retry_after_seconds=_RETRY_WHEN_FULL_SECONDS
    )
