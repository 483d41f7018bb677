"""How a body that the mail server broke off is taken up again: what was given is proven by its SHA-256, and what to do
next is decided, without I/O."""

import hashlib
from dataclasses import dataclass
from enum import Enum, auto

from satchel.mail.source import SourceUnavailable

# The server's size of an attachment counts its properties too; seldom are they more than a few KiB.
_MOST_PROPERTIES_BYTES = 64 * 1024


class ContentChanged(SourceUnavailable):
    """The mail server gives other bytes than before: what has been given cannot be gone on with."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a reader has been given when a body begins: bytes `start` to `end` of the file, and their SHA-256."""

    start: int
    end: int
    sha256: str


class Replay:
    """One body, read from its first byte, which stands at `position` of the file.

    What the reader has already is compared, what is before the reader's start is passed over.
    """

    def __init__(self, given: Given, position: int) -> None:
        self.position = position
        self._given = given
        self._hash = hashlib.sha256() if given.end > given.start else None

    def take(self, piece: bytes) -> bytes:
        """What of a piece is new. Raises ContentChanged where the body is not the one that was given so far."""
        begin, self.position = self.position, self.position + len(piece)
        if begin >= self._given.end and self._hash is None:
            return piece
        view = memoryview(piece)
        until = max(0, self._given.end - begin)
        if self._hash is not None:
            self._hash.update(view[max(0, self._given.start - begin) : until])
            if self.position >= self._given.end:
                self._compare(self._hash.hexdigest())
        return bytes(view[until:])

    def _compare(self, sha256: str) -> None:
        if sha256 != self._given.sha256:
            raise ContentChanged("The mail server gives other bytes than it gave before the break.")
        self._hash = None


class End(Enum):
    """How a body ended: as a whole one does, with the connection and so without a sign, or broken off."""

    CLEAN = auto()
    NOT_SHOWN = auto()
    BROKEN = auto()


class Verdict(Enum):
    """What follows the end of a body."""

    WHOLE = auto()
    CONFIRM = auto()
    AGAIN = auto()
    GIVE_UP = auto()


class Course:
    """Decides after each body whether the file is whole, is read again, or is given up.

    `size` is the file's, where the mail server or an earlier complete read vouches for it. Without one, a body that has
    ended as if it were whole may have been cut by whatever stands between: with `confirms`, it is believed when a
    second body has ended at the same byte. `store_bytes` is the size in the server's store, a bound for that alone.
    """

    def __init__(self, *, size: int | None, heal_attempts: int, confirms: bool, store_bytes: int) -> None:
        self.size = size
        self.has_healed = False
        self._attempts_left = heal_attempts
        self._confirms = confirms
        self._store_bytes = store_bytes
        self._seen_end: int | None = None

    def note_size(self, size: int | None) -> None:
        """A body has come with the file's size. Raises ContentChanged where it contradicts what is known."""
        if size is not None and self.size is not None and size != self.size:
            raise ContentChanged("The mail server tells another length than before.")
        self.size = self.size if size is None else size

    def after(self, end: End, *, reached: int, given_end: int) -> Verdict:
        """A body has ended at the byte `reached`; the reader has all up to `given_end`."""
        if self._seen_end is not None and self._seen_end < given_end:
            # What looked like the end of the file was none.
            self.has_healed = True
        if self.size is not None:
            return Verdict.WHOLE if given_end == self.size else self._again()
        if end is End.BROKEN or reached < given_end:
            return self._again()
        if reached == self._seen_end or (end is End.CLEAN and not self._confirms):
            return Verdict.WHOLE if self._is_plausible(reached) else self._again()
        return self._confirm(reached) if self._confirms else self._again()

    def _confirm(self, reached: int) -> Verdict:
        """One look more costs nothing the first time; whoever ends elsewhere each time is not asked for ever."""
        was_wrong, self._seen_end = self._seen_end is not None, reached
        if was_wrong and self._again() is Verdict.GIVE_UP:
            return Verdict.GIVE_UP
        return Verdict.CONFIRM

    def _again(self) -> Verdict:
        if not self._attempts_left:
            return Verdict.GIVE_UP
        self._attempts_left -= 1
        self.has_healed = True
        return Verdict.AGAIN

    def _is_plausible(self, size: int) -> bool:
        missing_bytes = self._store_bytes - size
        return missing_bytes <= max(_MOST_PROPERTIES_BYTES, self._store_bytes // 3)
