"""What the downloads of one source share: memory, a thread for digests, and the counts of broken streams."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from satchel.mail.graph.digests import DigestThread

BUFFER_BUDGET_BYTES = 32 * 1024 * 1024


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
    digests: DigestThread = field(default_factory=DigestThread)

    def close(self) -> None:
        """Let the thread end."""
        self.digests.close()

    def hold(self, count: int) -> bool:
        """Whether so many bytes more may be held in memory; they are, then, until they are let go."""
        if self.held_bytes + count > self.budget_bytes:
            return False
        self.held_bytes += count
        return True

    def let_go(self, count: int) -> None:
        self.held_bytes -= count
