"""A running SHA-256, reckoned in a thread while the next bytes come: on the loop it costs a third of the speed."""

import asyncio
import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Protocol

# How much may wait to be reckoned, over all downloads of a source.
_MOST_WAITING_BYTES = 16 * 1024 * 1024
# Below this a hand-over costs more than what is handed over.
_WORTH_BYTES = 64 * 1024


class Updated(Protocol):
    """A hash that takes bytes."""

    def update(self, data: bytes, /) -> None: ...


_Work = Callable[[], None]


class DigestThread:
    """One thread that updates hashes with what it is given, in order. It starts with the first piece.

    A plain queue and no executor: nothing comes back for a piece, so that the event loop is woken only by a mark.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        # Each is written by one thread alone: this one by who gives, the other by who reckons.
        self._given_bytes = 0
        self._reckoned_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        return self._given_bytes - self._reckoned_bytes

    def update(self, digest: Updated, piece: bytes) -> None:
        """Have a hash take a piece in, some time soon."""
        self._given_bytes += len(piece)
        self._put(partial(self._reckon, digest, piece))

    async def settled(self) -> None:
        """Until all that was given before has been taken in."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._put(partial(_tell, loop, done))
        await done

    def close(self) -> None:
        """End the thread, once it has done what it was given: some hundredths of a second at most."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _put(self, work: _Work) -> None:
        if self._thread is None:
            # A daemon, so that a source that nobody closes keeps no process from ending.
            self._thread = threading.Thread(target=_run, args=(self._queue,), name="graph-digest", daemon=True)
            self._thread.start()
        self._queue.put(work)

    def _reckon(self, digest: Updated, piece: bytes) -> None:
        digest.update(piece)
        self._reckoned_bytes += len(piece)


def _run(queue: "SimpleQueue[_Work | None]") -> None:
    while (work := queue.get()) is not None:
        work()
        # Else the last piece would be held until the next one comes.
        del work


def _tell(loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
    # A loop that has been closed waits for nothing.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_set, done)


def _set(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


class RunningDigest:
    """SHA-256 of bytes that come in pieces, in their order. Small pieces are reckoned at once, on the event loop."""

    def __init__(self, thread: DigestThread) -> None:
        self._thread = thread
        self._hash = hashlib.sha256()
        self._is_behind = False

    async def add(self, piece: bytes) -> None:
        if not self._is_behind and len(piece) < _WORTH_BYTES:
            self._hash.update(piece)
            return
        self._is_behind = True
        self._thread.update(self._hash, piece)
        if self._thread.waiting_bytes > _MOST_WAITING_BYTES:
            await self._caught_up()

    async def hexadecimal(self) -> str:
        """Of all that was added so far."""
        if self._is_behind:
            await self._caught_up()
        return self._hash.hexdigest()

    async def _caught_up(self) -> None:
        await self._thread.settled()
        self._is_behind = False
