"""Opening files below the mail root: never through a link, never anything but a regular file."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from satchel.mail.source import MessageNotFound, SourceError, SourceUnavailable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK the opening of a FIFO waits for its writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ESTALE}


@dataclass(frozen=True, slots=True)
class Identity:
    """What changes when a file's content may have changed."""

    device: int
    inode: int
    mtime_ns: int
    size: int


class OpenFile:
    """A file descriptor that is closed when nobody reads from it any more, not under a reader in another thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._readers = 0
        self._closing = False
        self._lock = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[int]:
        """The descriptor for the time of the block. Raises `SourceUnavailable` once the file is closed."""
        with self._lock:
            if self._closing:
                raise SourceUnavailable("The attachment was closed while it was being read.")
            self._readers += 1
        try:
            yield self._fd
        finally:
            with self._lock:
                self._readers -= 1
                self._close_when_idle()

    def close(self) -> None:
        with self._lock:
            self._closing = True
            self._close_when_idle()

    def _close_when_idle(self) -> None:
        if self._closing and not self._readers and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@contextmanager
def root_folder(root: Path) -> Iterator[int]:
    """A descriptor of the mail root, which the administrator may have made a link.

    Raises `SourceUnavailable`: a root that is not there is a disk that is not mounted, not mail that was deleted.
    """
    try:
        fd = os.open(root, _DIRECTORY)
    except OSError as error:
        raise SourceUnavailable(
            f"The mail folder cannot be opened ({error.strerror}): create it, mount it, or make it readable."
        ) from error
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def folder(name: bytes, parent: int) -> Iterator[int]:
    """A descriptor of a folder right below another one. Raises `OSError`, ELOOP or ENOTDIR for a link."""
    fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


def open_regular(name: bytes, parent: int) -> int:
    """A descriptor of a regular file right below a folder. Raises `OSError`; `FileNotFoundError` for other kinds."""
    fd = os.open(name, _FILE, dir_fd=parent)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise FileNotFoundError(errno.ENOENT, "not a regular file")


def identity(fd: int) -> Identity:
    found = os.fstat(fd)
    return Identity(found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def folder_identity(path: Path) -> tuple[int, int] | None:
    """Which folder stands at a path just now; None when there is none, or a link."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def is_gone(error: OSError) -> bool:
    """Whether an error says that there is no such file, or that a link or another kind of entry stands in its place."""
    return error.errno in _GONE


def translate(error: OSError) -> SourceError:
    """What an error of the file system means to callers of the port."""
    if is_gone(error):
        return MessageNotFound("The message is not in its mailbox any more.")
    return SourceUnavailable(f"The mail folder cannot be read ({error.strerror or error}).")
