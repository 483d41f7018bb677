"""The Maildir layout: `new/` and `cur/`, where a message keeps its name up to `:2,` through every move and flag."""

import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from satchel.mail.folder.files import OpenFile, folder, identity, is_gone, open_regular, root_folder
from satchel.mail.folder.ids import Layout, Place, is_plain_name
from satchel.mail.folder.layouts import Sighting
from satchel.mail.folder.message import OpenMessage
from satchel.mail.source import MessageNotFound

_FOLDERS = (b"new", b"cur")
_INFO = b":2,"
# The usual states of a message, tried before the whole of cur/ is read to find it.
_USUAL = ((b"new", b""), (b"cur", b":2,"), (b"cur", b":2,S"), (b"cur", b":2,RS"), (b"cur", b":2,FS"), (b"cur", b""))
# Where messages with rarer flags were seen or found last. Who reads a mailbox message by message, as they are sighted,
# would otherwise read all of cur/ for each.
_REMEMBERED = 4096
# A message may be renamed between two looks, and a folder that changes while it is read may hide an entry.
_LOOKS = 4

# new or cur, and the file's name in it.
_Spot = tuple[bytes, bytes]


class Maildir:
    """Reads Maildirs below one root. `tmp/` is never looked at; names that begin with a dot are no messages."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._found: OrderedDict[tuple[bytes, bytes], _Spot] = OrderedDict()
        self._lock = threading.Lock()

    def state(self, entry: bytes) -> Sequence[int]:
        times = []
        with root_folder(self._root) as root_fd, folder(entry, root_fd) as fd:
            for part in _FOLDERS:
                found = os.stat(part, dir_fd=fd, follow_symlinks=False)
                times.append((found.st_mtime_ns, found.st_ino))
        return [max(mtime for mtime, _ in times), *(number for pair in times for number in pair)]

    def sightings(self, entry: bytes) -> Iterator[Sighting]:
        with root_folder(self._root) as root_fd, folder(entry, root_fd) as fd:
            # In this order: a message that moves meanwhile is seen twice rather than never.
            for part in _FOLDERS:
                with folder(part, fd) as part_fd, os.scandir(part_fd) as names:
                    for name in names:
                        if name.is_file(follow_symlinks=False):
                            for sighting in _sighting(entry, os.fsencode(name.name)):
                                self._remember(sighting.place, (part, os.fsencode(name.name)))
                                yield sighting

    def changed(self, entry: bytes, path: Sequence[bytes]) -> Iterable[Sighting]:
        if len(path) != 2 or path[0] not in _FOLDERS:
            return
        try:
            with root_folder(self._root) as root_fd, folder(entry, root_fd) as fd, folder(path[0], fd) as part_fd:
                found = os.stat(path[1], dir_fd=part_fd, follow_symlinks=False)
        except OSError as error:
            if is_gone(error):
                return
            raise
        if stat.S_ISREG(found.st_mode):
            yield from _sighting(entry, path[1])

    def look(self, place: Place) -> Sighting | None:
        return next(_sighting(place.entry, place.key), None)

    def open(self, place: Place) -> OpenMessage:
        with root_folder(self._root) as root_fd, folder(place.entry, root_fd) as fd:
            for _ in range(_LOOKS):
                for spot in (*self._remembered(place), *_usual_spots(place.key)):
                    opened = _try_open(spot, fd)
                    if opened is not None:
                        return _whole_file(opened)
                found = _search(place.key, fd)
                if found is not None:
                    self._remember(place, found)
        raise MessageNotFound("The message is not in its mailbox any more.")

    def _remembered(self, place: Place) -> list[_Spot]:
        with self._lock:
            spot = self._found.get((place.entry, place.key))
        return [] if spot is None else [spot]

    def _remember(self, place: Place, spot: _Spot) -> None:
        part, name = spot
        if (part, name.removeprefix(place.key)) in _USUAL:
            return
        with self._lock:
            self._found[place.entry, place.key] = spot
            self._found.move_to_end((place.entry, place.key))
            if len(self._found) > _REMEMBERED:
                self._found.popitem(last=False)

    def watched_folders(self, entry: bytes) -> Sequence[bytes]:
        return [entry, *(entry + b"/" + part for part in _FOLDERS)]


def _sighting(entry: bytes, name: bytes) -> Iterator[Sighting]:
    key = name.partition(_INFO)[0]
    if is_plain_name(key):
        yield Sighting(Place(Layout.MAILDIR, entry, key), complete=True, size=0, mtime_ns=0)


def _usual_spots(key: bytes) -> Iterator[_Spot]:
    for part, info in _USUAL:
        yield part, key + info


def _search(key: bytes, fd: int) -> _Spot | None:
    """Where the message is among all of the mailbox."""
    for part in _FOLDERS:
        with folder(part, fd) as part_fd, os.scandir(part_fd) as names:
            for found in names:
                name = os.fsencode(found.name)
                if name.startswith(key) and name.partition(_INFO)[0] == key:
                    return part, name
    return None


def _try_open(spot: _Spot, fd: int) -> int | None:
    part, name = spot
    try:
        with folder(part, fd) as part_fd:
            return open_regular(name, part_fd)
    except OSError as error:
        if is_gone(error):
            return None
        raise


def _whole_file(fd: int) -> OpenMessage:
    found = identity(fd)
    return OpenMessage(OpenFile(fd), 0, found.size, found, shared=False)
