"""The mbox layout: all messages of a mailbox in one file that grows at its end.

Content is served as the file has it: which of the quotings of `>From ` a file uses cannot be told from it, so that a
text attachment with such a line keeps the `>` (base64 and quoted-printable parts are never affected).
"""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from satchel.mail.folder.files import Identity, OpenFile, identity, is_gone, open_regular, root_folder
from satchel.mail.folder.ids import Layout, Place
from satchel.mail.folder.layouts import Sighting
from satchel.mail.folder.mboxindex import MboxIndex
from satchel.mail.folder.message import OpenMessage
from satchel.mail.source import MessageNotFound, SourceUnavailable

# The file may grow between the look at its index and the look at the message.
_LOOKS = 5


@dataclass
class _Indexed:
    """The index of one file, and how far `changed` has told of it."""

    index: MboxIndex = field(default_factory=MboxIndex)
    lock: threading.Lock = field(default_factory=threading.Lock)
    told_generation: int = -1
    told: int = 0


class Mbox:
    """Reads mbox files right below one root, and keeps an index of each in memory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._indexes: dict[bytes, _Indexed] = {}
        self._lock = threading.Lock()

    def state(self, entry: bytes) -> Sequence[int]:
        with self._file(entry) as fd:
            found = identity(fd)
        return [found.mtime_ns, found.inode, found.size]

    def sightings(self, entry: bytes) -> Iterator[Sighting]:
        yield from self._since(entry, everything=True)

    def changed(self, entry: bytes, path: Sequence[bytes]) -> Iterable[Sighting]:
        if path:
            return
        try:
            yield from self._since(entry, everything=False)
        except OSError as error:
            if not is_gone(error):
                raise

    def look(self, place: Place) -> Sighting | None:
        try:
            with self._file(place.entry) as fd:
                indexed = self._indexed(place.entry)
                with indexed.lock:
                    seen_as = indexed.index.refresh(fd)
                    at = indexed.index.find(place.key, place.hint)
                    return None if at is None else self._sighting(indexed.index, place.entry, at, seen_as)
        except OSError as error:
            if is_gone(error):
                return None
            raise

    def open(self, place: Place) -> OpenMessage:
        with root_folder(self._root) as root_fd:
            file = OpenFile(open_regular(place.entry, root_fd))
        try:
            with file.reading() as fd:
                for _ in range(_LOOKS):
                    opened = self._open_in(file, fd, place)
                    if identity(fd) == opened.identity:
                        return opened
        except BaseException:
            file.close()
            raise
        file.close()
        raise SourceUnavailable("The mailbox file is being written to: try again.")

    def _open_in(self, file: OpenFile, fd: int, place: Place) -> OpenMessage:
        indexed = self._indexed(place.entry)
        with indexed.lock:
            seen_as = indexed.index.refresh(fd)
            at = indexed.index.find(place.key, place.hint)
            if at is None:
                raise MessageNotFound("The message is not in its mailbox any more.")
            start, stop = indexed.index.extent(fd, at)
        return OpenMessage(file, start, stop, seen_as, shared=True)

    def watched_folders(self, entry: bytes) -> Sequence[bytes]:
        return []

    def _since(self, entry: bytes, *, everything: bool) -> Iterator[Sighting]:
        indexed = self._indexed(entry)
        with self._file(entry) as fd, indexed.lock:
            index = indexed.index
            seen_as = index.refresh(fd)
            generation = index.generation
            again = everything or indexed.told_generation != generation
            # The last one told of may have been half written then.
            first = 0 if again else max(0, indexed.told - 1)
            if not everything:
                # Who looks through everything may be another than who is told of changes.
                indexed.told_generation, indexed.told = generation, len(index)
            found = range(first, len(index))
        for at in found:
            with indexed.lock:
                if generation != index.generation or at >= len(index):
                    return
                sighting = self._sighting(index, entry, at, seen_as)
            yield sighting

    @staticmethod
    def _sighting(index: MboxIndex, entry: bytes, at: int, seen_as: Identity) -> Sighting:
        place = Place(Layout.MBOX, entry, index.key(at), index.start(at))
        return Sighting(place, at + 1 < len(index), seen_as.size, seen_as.mtime_ns)

    def _indexed(self, entry: bytes) -> _Indexed:
        with self._lock:
            return self._indexes.setdefault(entry, _Indexed())

    @contextmanager
    def _file(self, entry: bytes) -> Iterator[int]:
        with root_folder(self._root) as root_fd:
            fd = open_regular(entry, root_fd)
        try:
            yield fd
        finally:
            os.close(fd)
