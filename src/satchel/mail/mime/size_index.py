"""What a counting pass learns about an encoded body: its decoded size, and where to begin reading for a range."""

from bisect import bisect_right
from dataclasses import dataclass


class ContentChanged(OSError):
    """The file does not hold what it held when the attachment was found or measured: list the message again."""


@dataclass(frozen=True, slots=True)
class SizeIndex:
    """The exact decoded size of one attachment, and marks for ranges.

    `total` is in bytes. `marks` are pairs of a file offset and of what was counted before it (base64: characters of
    the alphabet; else decoded bytes), one per window of the body, rising. `stop` is the file offset at which the
    encoded data ends, which may be before the end of the body.
    """

    total: int
    marks: tuple[tuple[int, int], ...]
    stop: int

    def mark_before(self, count: int) -> tuple[int, int]:
        """The last mark at which no more than `count` had been counted."""
        found = bisect_right(self.marks, count, key=lambda mark: mark[1])
        return self.marks[max(found - 1, 0)]
