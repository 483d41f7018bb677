"""The body of an answer that is streamed, and how much all of them may read ahead together."""

from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from satchel.mail.graph.transport import READ_BUFFER_BYTES, Answer, Broken
from satchel.mail.source import SourceUnavailable

_BUDGET_BYTES = 32 * 1024 * 1024
_LEAST_BYTES = 16 * 1024
# The library holds up to twice what it is told to read ahead; as much again is on its way to the client.
_TIMES_HELD = 4


@dataclass(slots=True)
class OpenBodies:
    """Counts the bodies that are open, so that many read less far ahead than few."""

    count: int = 0

    def read_buffer_bytes(self) -> int:
        """For one body more than there are now."""
        fair = _BUDGET_BYTES // (_TIMES_HELD * (self.count + 1))
        return max(_LEAST_BYTES, min(READ_BUFFER_BYTES, fair))


class EndNotShown(SourceUnavailable):
    """All that came until the connection was closed has been read; whether that was all cannot be known from it."""


class GraphBody:
    """An answer of success whose body is still to come. It keeps what the call held, its connection and its places,
    until it is closed."""

    def __init__(self, answer: Answer, held: ExitStack, bodies: OpenBodies) -> None:
        self._answer = answer
        self._held = held
        self._bodies: OpenBodies | None = bodies
        bodies.count += 1
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self.content_type = self.headers.get("Content-Type", "")
        self.length = _length(self.headers)

    @property
    def end_is_known(self) -> bool:
        """Whether a body that ends early can be told from a whole one."""
        return self.length is not None or "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, once, in pieces of at most 512 KiB. Raises `SourceUnavailable` when it breaks or ends short, and
        `EndNotShown` after one that may have been cut without showing it; it never ends silently."""
        received_bytes = 0
        try:
            async for piece in self._answer.pieces():
                received_bytes += len(piece)
                yield piece
        except Broken as error:
            raise _incomplete(str(error)) from None
        if self.length is not None and received_bytes != self.length:
            raise _incomplete("it has another length than was announced")
        if not self.end_is_known:
            raise EndNotShown("Whether the mail server's answer is whole cannot be known.", upstream_status=502)

    async def aclose(self) -> None:
        """Close it; a second time does nothing."""
        self.close()

    def close(self) -> None:
        """The same, for who cannot wait."""
        if self._bodies is not None:
            self._bodies.count -= 1
            self._bodies = None
            self._held.close()


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _incomplete(why: str) -> SourceUnavailable:
    return SourceUnavailable(f"The mail server's answer is incomplete: {why}.", upstream_status=502)
