"""Attachment bytes for tests: given, or generated at any offset without holding them."""

import hashlib
from collections.abc import Iterator
from typing import Protocol

# A prime, so that an answer that is off by a power of two never happens to be right.
_BLOCK_BYTES = 262_139
_PIECE_BYTES = 262_144


class Content(Protocol):
    """Bytes that can be read from any offset."""

    @property
    def size(self) -> int: ...

    @property
    def version(self) -> str:
        """Changes whenever the bytes do."""
        ...

    def pieces(self, start: int, stop: int) -> Iterator[bytes]: ...


class Given:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.version = hashlib.sha256(data).hexdigest()[:32]

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        for at in range(start, stop, _PIECE_BYTES):
            yield self._data[at : min(at + _PIECE_BYTES, stop)]


class Generated:
    """`size` bytes that depend on the seed and the offset alone; several GB cost no memory."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self._block = hashlib.shake_256(f"satchel {seed}".encode()).digest(_BLOCK_BYTES)
        self.version = hashlib.sha256(b"%d %d" % (size, seed)).hexdigest()[:32]

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            offset = start % _BLOCK_BYTES
            piece = self._block[offset : offset + stop - start]
            start += len(piece)
            yield piece


def sha256(content: Content) -> str:
    """The digest in hexadecimal."""
    digest = hashlib.sha256()
    for piece in content.pieces(0, content.size):
        digest.update(piece)
    return digest.hexdigest()
