"""A compact set of names: about ten bytes a name, so that a mailbox of 100,000 messages costs one megabyte."""

import hashlib
from array import array
from bisect import bisect_left

_LEAST_RECENT = 4096


class Seen:
    """Names by a 64-bit digest: a sorted array, and a small set of recent ones that is merged into it now and then.

    Two of a hundred thousand names share a digest once in four thousand million mailboxes.
    """

    def __init__(self) -> None:
        self._settled = array("Q")
        self._recent: set[int] = set()

    def __contains__(self, name: bytes) -> bool:
        return self._holds(_short_digest(name))

    def __len__(self) -> int:
        return len(self._settled) + len(self._recent)

    def add(self, name: bytes) -> bool:
        """Take a name in; whether it was new."""
        value = _short_digest(name)
        if self._holds(value):
            return False
        self._recent.add(value)
        if len(self._recent) > max(_LEAST_RECENT, len(self._settled) // 4):
            self._settled = array("Q", sorted([*self._settled, *self._recent]))
            self._recent.clear()
        return True

    def _holds(self, value: int) -> bool:
        if value in self._recent:
            return True
        at = bisect_left(self._settled, value)
        return at < len(self._settled) and self._settled[at] == value


def _short_digest(name: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")
