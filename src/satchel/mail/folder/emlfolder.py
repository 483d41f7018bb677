"""The layout of one .eml file per message, right in the mailbox's folder; folders below it are not looked into."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from satchel.mail.folder.files import OpenFile, folder, identity, is_gone, open_regular, root_folder
from satchel.mail.folder.ids import Layout, Place, is_plain_name
from satchel.mail.folder.layouts import Sighting
from satchel.mail.folder.message import OpenMessage
from satchel.mail.source import MessageNotFound

_SUFFIX = b".eml"


class EmlFolder:
    """Reads folders of .eml files below one root. Writers may take their time: see `Sighting.complete`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def state(self, entry: bytes) -> Sequence[int]:
        with root_folder(self._root) as root_fd:
            found = os.stat(entry, dir_fd=root_fd, follow_symlinks=False)
        return [found.st_mtime_ns, found.st_ino]

    def sightings(self, entry: bytes) -> Iterator[Sighting]:
        with root_folder(self._root) as root_fd, folder(entry, root_fd) as fd, os.scandir(fd) as names:
            for found in names:
                name = os.fsencode(found.name)
                if _is_message_name(name) and found.is_file(follow_symlinks=False):
                    yield from self._sighting(entry, name, fd)

    def changed(self, entry: bytes, path: Sequence[bytes]) -> Iterable[Sighting]:
        if len(path) != 1 or not _is_message_name(path[0]):
            return
        sighting = self.look(Place(Layout.EML, entry, path[0]))
        if sighting is not None:
            yield sighting

    def look(self, place: Place) -> Sighting | None:
        try:
            with root_folder(self._root) as root_fd, folder(place.entry, root_fd) as fd:
                return next(self._sighting(place.entry, place.key, fd), None)
        except OSError as error:
            if is_gone(error):
                return None
            raise

    def open(self, place: Place) -> OpenMessage:
        if not _is_message_name(place.key):
            raise MessageNotFound("The message's locator is not one of a mail folder.")
        with root_folder(self._root) as root_fd, folder(place.entry, root_fd) as fd:
            opened = open_regular(place.key, fd)
        found = identity(opened)
        return OpenMessage(OpenFile(opened), 0, found.size, found, shared=False)

    def watched_folders(self, entry: bytes) -> Sequence[bytes]:
        return [entry]

    def _sighting(self, entry: bytes, name: bytes, fd: int) -> Iterator[Sighting]:
        try:
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            if is_gone(error):
                return
            raise
        if stat.S_ISREG(found.st_mode):
            yield Sighting(Place(Layout.EML, entry, name), False, found.st_size, found.st_mtime_ns)


def _is_message_name(name: bytes) -> bool:
    return is_plain_name(name) and name.lower().endswith(_SUFFIX)
