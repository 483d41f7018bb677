"""The mail root: which mailboxes lie in it, in which layout, and what every layout must be able to do."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from satchel.mail.folder.files import folder, is_gone, root_folder
from satchel.mail.folder.ids import Layout, Place, is_plain_name
from satchel.mail.folder.message import OpenMessage
from satchel.mail.source import SourceUnavailable

_ADDRESS = re.compile(r"[^\s@/\\\x00-\x1f\x7f]+@[^\s@/\\\x00-\x1f\x7f]+", re.ASCII)
_MAX_ADDRESS_LENGTH = 254
_MBOX_SUFFIX = b".mbox"


@dataclass(frozen=True, slots=True)
class Store:
    """One entry of the root that holds messages. Two spellings of an address are two stores of one mailbox."""

    mailbox: str
    layout: Layout
    entry: bytes


@dataclass(frozen=True, slots=True)
class Sighting:
    """A message that was seen. Unless it is `complete`, its file may still be written to: size and time must rest."""

    place: Place
    complete: bool
    size: int
    mtime_ns: int


class LayoutReader(Protocol):
    """One layout of messages on disk. Methods raise `OSError` or `SourceError` and block: they belong into a thread."""

    def state(self, entry: bytes) -> Sequence[int]:
        """Numbers that change when messages come or go; the first is the newest modification time in nanoseconds."""
        ...

    def sightings(self, entry: bytes) -> Iterator[Sighting]:
        """Every message of a store."""
        ...

    def changed(self, entry: bytes, path: Sequence[bytes]) -> Iterable[Sighting]:
        """The messages that a change of `path` (below the store) brought."""
        ...

    def look(self, place: Place) -> Sighting | None:
        """The message as it is now, or None when it is gone."""
        ...

    def open(self, place: Place) -> OpenMessage:
        """The message for reading. Raises `MessageNotFound` or an `OSError` that says the same."""
        ...

    def watched_folders(self, entry: bytes) -> Sequence[bytes]:
        """Folders, relative to the root, whose changes announce messages."""
        ...


def find_stores(root: Path) -> list[Store]:
    """All stores below the root, sorted. Links and names that are no addresses are passed over.

    Raises `SourceUnavailable` when the root cannot be read.
    """
    found = []
    with root_folder(root) as root_fd:
        try:
            with os.scandir(root_fd) as entries:
                for entry in entries:
                    name = os.fsencode(entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        mailbox = mailbox_address(name)
                        if mailbox:
                            found.append(Store(mailbox, _folder_layout(name, root_fd), name))
                    elif name.lower().endswith(_MBOX_SUFFIX) and entry.is_file(follow_symlinks=False):
                        mailbox = mailbox_address(name[: -len(_MBOX_SUFFIX)])
                        if mailbox:
                            found.append(Store(mailbox, Layout.MBOX, name))
        except OSError as error:
            raise SourceUnavailable(f"The mail folder cannot be read ({error.strerror}).") from error
    return sorted(found, key=lambda store: (store.mailbox, store.entry))


def mailbox_address(name: bytes) -> str | None:
    """The mailbox that an entry of the root is named after, lower case; None when the name is no address."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not is_plain_name(name) or len(text) > _MAX_ADDRESS_LENGTH or not _ADDRESS.fullmatch(text):
        return None
    return text.lower()


def entry_address(layout: Layout, entry: bytes) -> str | None:
    """The mailbox of a store by its entry's name."""
    if layout is not Layout.MBOX:
        return mailbox_address(entry)
    if not entry.lower().endswith(_MBOX_SUFFIX):
        return None
    return mailbox_address(entry[: -len(_MBOX_SUFFIX)])


def _folder_layout(name: bytes, root_fd: int) -> Layout:
    """Maildir when both `new` and `cur` stand there, else a folder of .eml files."""
    try:
        with folder(name, root_fd) as fd:
            for part in (b"new", b"cur"):
                with folder(part, fd):
                    pass
    except OSError as error:
        if not is_gone(error):
            # A Maildir that cannot be read is one still: its messages must answer "unavailable", not "gone".
            return Layout.MAILDIR
        return Layout.EML
    return Layout.MAILDIR
