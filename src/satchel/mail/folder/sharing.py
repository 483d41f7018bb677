"""How much the open streams of a source may hold in memory: a budget that they share, so that many need no more than
a few. Decides and counts sizes only; it holds no bytes."""

from collections import deque
from dataclasses import dataclass

_BUDGET_BYTES = 32 * 1024 * 1024
_MOST_BYTES = 1024 * 1024
# Below this the hand-over to a thread costs far more than the decoding. Beyond the budget everybody still gets it.
_LEAST_BYTES = 16 * 1024
# Pieces given away that are still there: one has come, one waits to be sent, one is in the connection's buffer.
_ON_THE_WAY = 3
# Reading ahead makes one stream fast; among so many that each gets less than this, nobody waits for the disk.
_AHEAD_FROM_BYTES = 128 * 1024


def grant_bytes(streams: int, held_bytes: int, budget_bytes: int = _BUDGET_BYTES) -> int:
    """How much one of so many streams may read at once: what is sent just now and what is read meanwhile are two.

    Its share, and no more than is left of the budget: streams that began when there were few, and whose clients read
    slowly, hold large shares for long.
    """
    fair = min(budget_bytes // (2 * max(1, streams)), budget_bytes - held_bytes)
    return max(_LEAST_BYTES, min(_MOST_BYTES, fair))


@dataclass
class OpenStreams:
    """Counts the streams that are read from and the bytes that they hold, on the event loop alone."""

    count: int = 0
    held_bytes: int = 0

    def begin(self) -> "StreamShare":
        """One stream more, until its share is closed."""
        self.count += 1
        return StreamShare(self)


class StreamShare:
    """What one stream holds. Close it."""

    def __init__(self, streams: OpenStreams) -> None:
        self._streams = streams
        self._held_bytes = 0
        self._on_the_way: deque[int] = deque()

    def grant(self) -> int:
        """How much to read now; it is held from here on."""
        granted = grant_bytes(self._streams.count, self._streams.held_bytes)
        self._hold(granted)
        return granted

    @property
    def may_read_ahead(self) -> bool:
        """Whether the next bytes may be read while these are sent."""
        return grant_bytes(self._streams.count, self._streams.held_bytes) >= _AHEAD_FROM_BYTES

    def took(self, granted_bytes: int, taken_bytes: int) -> None:
        """What was granted came to this."""
        self._hold(taken_bytes - granted_bytes)

    def give(self, piece_bytes: int) -> None:
        """A piece is given away; it is held until some more have followed."""
        self._on_the_way.append(piece_bytes)
        if len(self._on_the_way) > _ON_THE_WAY:
            self._hold(-self._on_the_way.popleft())

    def close(self) -> None:
        self._hold(-self._held_bytes)
        self._streams.count -= 1

    def _hold(self, more_bytes: int) -> None:
        self._held_bytes += more_bytes
        self._streams.held_bytes += more_bytes
