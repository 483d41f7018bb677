"""How much the open streams of a source may hold in memory: a budget that they share, so that many need no more than
a few. Decides sizes only; it holds no bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_BUDGET_BYTES = 64 * 1024 * 1024
_MOST_BYTES = 1024 * 1024
# Below this the hand-over to a thread costs far more than the decoding.
_LEAST_BYTES = 16 * 1024


def ahead_bytes(streams: int, budget_bytes: int = _BUDGET_BYTES) -> int:
    """How much each of so many streams may have ready: what is sent just now and what is read meanwhile are two."""
    return max(_LEAST_BYTES, min(_MOST_BYTES, budget_bytes // (2 * max(1, streams))))


@dataclass
class OpenStreams:
    """Counts the streams that are read from. Entered and left on the event loop; any thread may ask for the share."""

    count: int = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    def share_bytes(self) -> int:
        """What each stream may have ready at this moment."""
        return ahead_bytes(self.count)
