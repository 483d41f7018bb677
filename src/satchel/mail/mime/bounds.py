"""How much of a message the reader looks at, so that hostile mail costs bounded time and memory."""

from dataclasses import dataclass


class MessageTooComplex(Exception):
    """A bound was passed: the message is not read any further. The text names the bound and its value."""

    def __init__(self, bound: str, limit: int) -> None:
        super().__init__(f"the message has more than {limit} {bound}; raise the bound if such mail is legitimate here")
        self.bound = bound
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits per message. Real mail stays far below them; a message beyond one raises `MessageTooComplex`.

    `max_parts` counts every MIME part, containers too. `max_depth` counts nested multiparts. The header bytes are
    those of one part and of all parts together, as they stand in the message.
    """

    max_parts: int = 20_000
    max_depth: int = 100
    max_part_header_bytes: int = 1024 * 1024
    max_total_header_bytes: int = 16 * 1024 * 1024


DEFAULT_BOUNDS = Bounds()
