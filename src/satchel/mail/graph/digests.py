"""A running SHA-256, reckoned in a thread while the next bytes come: on the event loop it took a third of the speed."""

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor


class RunningDigest:
    """SHA-256 of bytes that come in pieces, in their order.

    Pieces wait until there are `batch_bytes` of them, because a hand-over to a thread has its price; at most twice as
    many are held. 0: each is reckoned at once, on the event loop.
    """

    def __init__(self, threads: Executor, batch_bytes: int) -> None:
        self._threads = threads
        self._batch_bytes = batch_bytes
        self._hash = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._work: asyncio.Future[None] | None = None

    async def add(self, piece: bytes) -> None:
        if not self._batch_bytes:
            self._hash.update(piece)
            return
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        if self._waiting_bytes >= self._batch_bytes:
            await self._worked()
            batch = self._taken()
            self._work = asyncio.get_running_loop().run_in_executor(self._threads, self._update, batch)

    async def hexadecimal(self) -> str:
        """Of all that was added so far."""
        await self._worked()
        self._update(self._taken())
        return self._hash.hexdigest()

    async def _worked(self) -> None:
        if self._work is not None:
            # Whoever is cancelled here leaves a thread at work on a digest that nobody asks for any more.
            await asyncio.shield(self._work)
            self._work = None

    def _taken(self) -> Sequence[bytes]:
        batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return batch

    def _update(self, batch: Sequence[bytes]) -> None:
        # At once: after each update a thread has to wait for its turn with Python again, which costs more than a copy.
        self._hash.update(b"".join(batch))
