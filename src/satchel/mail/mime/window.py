"""A moving window over a range of a file: read by offset, so that memory stays flat however large the message is."""

import os

WINDOW_BYTES = 256 * 1024


class Window:
    """The bytes of `start` to `stop` of a file, held a window at a time.

    `data` holds the file's bytes from offset `base` on. Raises `OSError` as `os.pread` does. A file that ends before
    `stop` reads as a shorter range.
    """

    __slots__ = ("_fd", "base", "data", "start", "stop")

    def __init__(self, fd: int, start: int, stop: int) -> None:
        self._fd = fd
        self.start = start
        self.stop = stop
        self.base = start
        self.data = b""

    def hold(self, offset: int, wanted: int) -> None:
        """See to it that `data` has `wanted` bytes from `offset` on, or all there are."""
        held_stop = self.base + len(self.data)
        if self.base <= offset and (offset + wanted <= held_stop or held_stop >= self.stop):
            return
        self.data = pread_all(self._fd, min(max(wanted, WINDOW_BYTES), max(self.stop - offset, 0)), offset)
        self.base = offset
        if self.base + len(self.data) < min(self.stop, offset + wanted):
            self.stop = self.base + len(self.data)

    @property
    def reaches_end(self) -> bool:
        return self.base + len(self.data) >= self.stop


def pread_all(fd: int, wanted: int, offset: int) -> bytes:
    """`wanted` bytes from `offset` on; fewer only at the end of the file."""
    data = os.pread(fd, wanted, offset)
    if len(data) == wanted or not data:
        return data
    pieces = [data]
    missing = wanted - len(data)
    while missing:
        data = os.pread(fd, missing, offset + wanted - missing)
        if not data:
            break
        pieces.append(data)
        missing -= len(data)
    return b"".join(pieces)
