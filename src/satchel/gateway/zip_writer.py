"""Writes a ZIP file piece by piece, as it is fed: no I/O, no clock, nothing held but the piece and the directory."""

import struct
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from zipstream import ZIP_DEFLATED, ZIP_STORED, ZipStream

# What ZIP's times can say, in steps of two seconds (APPNOTE 4.4.6).
FIRST_MOMENT = datetime(1980, 1, 1, tzinfo=UTC)
_LAST_MOMENT = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)
# Half the time of the usual 6, for 2 percent of the original more.
_DEFLATE_LEVEL = 3
_CENTRAL_HEADER = b"PK\x01\x02"
# Where the time stands in a local and in a central header (APPNOTE 4.3.7 and 4.3.12).
_LOCAL_TIME, _CENTRAL_TIME, _TIME_BYTES = 10, 12, 4


@dataclass(frozen=True, slots=True)
class Entry:
    """A member: its path, its time in UTC, and its exact size in bytes, or None where that is not known."""

    path: str
    moment: datetime
    is_stored: bool
    size: int | None


def zip_length(entries: Sequence[Entry]) -> int | None:
    """How long the whole file becomes; None where a member is compressed or its size unknown."""
    sized = ZipStream(sized=True)
    for entry in entries:
        if not entry.is_stored or entry.size is None:
            return None
        sized.add(_Inlet(), entry.path, size=entry.size)
    return len(sized)


class ZipWriter:
    """One archive: for each member `begin`, `feed` as often as there are pieces, `end`; at last `finish`.

    Each gives the bytes to send. ZIP64 where a member of known size or the whole needs it, and for every member of
    unknown size. Names beyond ASCII carry the UTF-8 flag.
    """

    def __init__(self) -> None:
        self._zip = ZipStream()
        self._inlet = _Inlet()
        self._member: Generator[bytes, None, bool] = self._zip.file()
        self._left: int | None = None
        self._stamps: list[bytes] = []

    def begin(self, entry: Entry) -> bytes:
        """The member's header."""
        self._inlet, self._left = _Inlet(), entry.size
        self._zip.add(
            self._inlet,
            entry.path,
            size=entry.size,
            compress_type=ZIP_STORED if entry.is_stored else ZIP_DEFLATED,
            compress_level=None if entry.is_stored else _DEFLATE_LEVEL,
        )
        self._member = self._zip.file()
        stamp = _stamp(entry.moment)
        self._stamps.append(stamp)
        return _with_time(next(self._member), _LOCAL_TIME, stamp)

    def feed(self, piece: bytes) -> bytes:
        """What a piece of the member becomes; nothing yet, where the compression keeps it."""
        if not piece:
            return b""
        if self._left is not None:
            self._left -= len(piece)
        self._inlet.piece = piece
        return next(self._member)

    def end(self) -> bytes:
        """The member's end. Raises ValueError where it came to another size than its entry says."""
        if self._left:
            raise ValueError("a member has another size than was announced")
        self._inlet.is_closed = True
        return b"".join(self._member)

    def finish(self) -> bytes:
        """The directory: without it no program takes the file for whole."""
        stamps = iter(self._stamps)
        return b"".join(
            _with_time(record, _CENTRAL_TIME, next(stamps)) if record.startswith(_CENTRAL_HEADER) else record
            for record in self._zip.footer()
        )


class _Inlet:
    """Hands the library one piece at a time. It asks for the next one only after it has given what the last became,
    so that the archive can be driven from outside instead of keeping a thread waiting for bytes."""

    def __init__(self) -> None:
        self.piece: bytes | None = None
        self.is_closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        piece, self.piece = self.piece, None
        if piece is not None:
            return piece
        if self.is_closed:
            raise StopIteration
        raise RuntimeError("the archive asked for more than it was fed")


def _stamp(moment: datetime) -> bytes:
    moment = min(max(moment.astimezone(UTC), FIRST_MOMENT), _LAST_MOMENT)
    date = (moment.year - 1980) << 9 | moment.month << 5 | moment.day
    time = moment.hour << 11 | moment.minute << 5 | moment.second // 2
    return struct.pack("<HH", time, date)


def _with_time(header: bytes, offset: int, stamp: bytes) -> bytes:
    """The library stamps the clock's time, and takes no other one for what is not a file on disk."""
    return header[:offset] + stamp + header[offset + _TIME_BYTES :]
