"""What the downloads of one source share: memory, threads for digests, and the counts of broken streams."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from satchel.mail.graph.digests import RunningDigest

BUFFER_BUDGET_BYTES = 32 * 1024 * 1024
# For pieces that wait for their digest.
_DIGEST_BUDGET_BYTES = 16 * 1024 * 1024
_MOST_BATCH_BYTES = 1024 * 1024
# Below this a hand-over to a thread costs more than what is handed over.
_LEAST_BATCH_BYTES = 256 * 1024


def batch_bytes(streams: int) -> int:
    """How much each of so many streams collects for its digest; 0 where there are too many to collect anything."""
    fair = _DIGEST_BUDGET_BYTES // (2 * max(1, streams))
    return min(_MOST_BATCH_BYTES, fair) if fair >= _LEAST_BATCH_BYTES else 0


def _digest_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="graph-digest")


@dataclass(slots=True)
class ContentStreams:
    """One for each source. `sleep` and `jitter` (0 to 1) are for the waits between two attempts.

    `healed_streams` broke and went on to their end, `failed_heals` broke and were given up.
    """

    budget_bytes: int = BUFFER_BUDGET_BYTES
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    healed_streams: int = 0
    failed_heals: int = 0
    held_bytes: int = 0
    count: int = 0
    threads: ThreadPoolExecutor = field(default_factory=_digest_threads)

    @contextmanager
    def begun(self) -> Iterator[RunningDigest]:
        """One stream more for the length of the block, with the digest of what it gives."""
        self.count += 1
        try:
            yield RunningDigest(self.threads, batch_bytes(self.count))
        finally:
            self.count -= 1

    def close(self) -> None:
        """Let the threads end; digests under way are no longer asked for."""
        self.threads.shutdown(wait=False)

    def hold(self, count: int) -> bool:
        """Whether so many bytes more may be held in memory; they are, then, until they are let go."""
        if self.held_bytes + count > self.budget_bytes:
            return False
        self.held_bytes += count
        return True

    def let_go(self, count: int) -> None:
        self.held_bytes -= count
