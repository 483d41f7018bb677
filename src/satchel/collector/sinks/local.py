"""Stores attachments as files below one folder of the local disk, each with a JSON sidecar.

A file appears under its final name only when it and its sidecar are on disk. No link leads out of the folder.
"""

import asyncio
import errno
import fcntl
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

import msgspec

from satchel.collector.sinks.incoming import INCOMING, Incoming, Sidecar, sidecar_name
from satchel.collector.sinks.sink import BodyMismatch, KeyRefused, KeyTaken, Provenance, Receipt, SinkUnavailable
from satchel.durable.database import make_private_folder

_PIECE_BYTES = 1_048_576
_KEY = re.compile(r"(?P<folder>[a-z0-9][a-z0-9_-]{0,63})/(?P<name>[a-z0-9][a-z0-9_-]{0,127}(\.[a-z0-9]{1,8})?)")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Place:
    folder: str
    name: str
    provenance: Provenance


class _Counted:
    """Gathers chunks into pieces of a MiB and holds them against the announced number of bytes."""

    def __init__(self, chunks: AsyncIterator[bytes], expected_bytes: int | None) -> None:
        self._chunks = chunks
        self._expected_bytes = expected_bytes
        self._seen_bytes = 0

    async def piece(self) -> tuple[list[bytes], bool]:
        """The next buffers, and whether they are the last. Raises BodyMismatch, also at the end."""
        buffers: list[bytes] = []
        size = 0
        expected = self._expected_bytes
        async for chunk in self._chunks:
            buffers.append(chunk)
            size += len(chunk)
            self._seen_bytes += len(chunk)
            if expected is not None and self._seen_bytes > expected:
                raise BodyMismatch(f"More than the announced {expected} bytes came.")
            if size >= _PIECE_BYTES:
                return buffers, False
        if expected is not None and self._seen_bytes != expected:
            raise BodyMismatch(f"{self._seen_bytes} bytes came of {expected} announced.")
        return buffers, True


class LocalSink:
    """Files below `root`, written in threads of its own. It holds a lock on the folder while it is open.

    Raises SinkUnavailable when the folder cannot be used or another collector uses it.
    """

    def __init__(self, root: Path, *, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="sink")
        self._active: set[str] = set()
        # A lock lives as long as somebody holds it or waits for it.
        self._keys: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        try:
            make_private_folder(root)
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._take_lock(root)
            self._incoming = self._open_folder(INCOMING)
            _try_link(self._incoming)
        except OSError as error:
            raise _translated(error) from error

    def _take_lock(self, root: Path) -> None:
        try:
            fcntl.flock(self._root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"{root} is in use by another collector. Stop it, or give this one a folder of its own."
            raise SinkUnavailable(message) from None

    async def put(
        self, key: str, chunks: AsyncIterator[bytes], provenance: Provenance, *, expected_bytes: int | None
    ) -> Receipt:
        match = _KEY.fullmatch(key)
        if match is None:
            raise KeyRefused("The storage key is not one of ours.")
        place = _Place(match["folder"], match["name"], provenance)
        counted = _Counted(chunks, expected_bytes)
        lock = self._keys.setdefault(key, asyncio.Lock())
        async with lock:
            first, ended = await counted.piece()
            if ended:
                # Most attachments are small: one hop to a thread for the whole of one.
                sidecar, existed = await self._run(self._store_small, place, first)
            else:
                sidecar, existed = await self._store_large(place, first, counted)
        return Receipt(key, sidecar.size, sidecar.sha256, existed=existed)

    def _store_small(self, place: _Place, pieces: list[bytes]) -> tuple[Sidecar, bool]:
        existing = self._existing(place)
        if existing is not None:
            return existing, True
        incoming = Incoming(self._incoming, self._active)
        try:
            return self._finish(incoming, pieces, place), False
        finally:
            incoming.discard()

    async def _store_large(self, place: _Place, pieces: list[bytes], counted: _Counted) -> tuple[Sidecar, bool]:
        existing = await self._run(self._existing, place)
        if existing is not None:
            return existing, True
        incoming = Incoming(self._incoming, self._active)
        try:
            ended = False
            while not ended:
                await self._run(incoming.write, pieces)
                pieces, ended = await counted.piece()
            return await self._run(self._finish, incoming, pieces, place), False
        finally:
            await self._run(incoming.discard)

    def _finish(self, incoming: Incoming, rest: list[bytes], place: _Place) -> Sidecar:
        incoming.write(rest)
        with self._folder(place.folder) as folder:
            return incoming.publish(folder, place.name, place.provenance)

    def _existing(self, place: _Place) -> Sidecar | None:
        """The sidecar of what is stored already; a file always has one, because the sidecar is on disk before it."""
        with self._folder(place.folder) as folder:
            try:
                os.stat(place.name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                return None
            try:
                sidecar = os.open(sidecar_name(place.name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                with os.fdopen(sidecar, "rb") as file:
                    return msgspec.json.decode(file.read(), type=Sidecar)
            except (OSError, msgspec.DecodeError):
                message = f"{place.folder}/{place.name} is there without a readable sidecar. Move it away and retry."
                raise KeyTaken(message) from None

    @contextmanager
    def _folder(self, name: str) -> Iterator[int]:
        """Opened for each use: a kept descriptor would follow a folder that somebody moves away or removes."""
        folder = self._open_folder(name)
        try:
            yield folder
        finally:
            os.close(folder)

    def _open_folder(self, name: str) -> int:
        try:
            return os.open(name, _FOLDER, dir_fd=self._root)
        except FileNotFoundError:
            pass
        try:
            os.mkdir(name, 0o700, dir_fd=self._root)
        except FileExistsError:
            pass
        else:
            os.fsync(self._root)
        return os.open(name, _FOLDER, dir_fd=self._root)

    async def sweep(self) -> int:
        return await self._run(self._sweep)

    def _sweep(self) -> int:
        """The lock keeps other writers out, so whatever this process does not write just now is left over."""
        removed = 0
        for name in _names(self._incoming):
            if name not in self._active:
                try:
                    os.unlink(name, dir_fd=self._incoming)
                except FileNotFoundError:
                    continue
                removed += 1
        return removed

    async def _run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Run in a thread. A cancelled caller waits for the thread too, so that nobody closes files under it."""
        work = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        try:
            return await asyncio.shield(work)
        except OSError as error:
            raise _translated(error) from error
        except asyncio.CancelledError:
            while not work.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            raise

    async def aclose(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        for descriptor in (self._incoming, self._root):
            os.close(descriptor)


def _try_link(folder: int) -> None:
    """Raises SinkUnavailable where the file system has no hard links (FAT, some network shares), before any work."""
    name, linked = (f"probe-{secrets.token_hex(8)}" for _ in range(2))
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder))
        os.link(name, linked, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        message = "The file system of the folder has no hard links, which are needed. Choose a root on another one."
        raise SinkUnavailable(message) from None
    finally:
        for one in (name, linked):
            with suppress(FileNotFoundError):
                os.unlink(one, dir_fd=folder)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _translated(error: OSError) -> SinkUnavailable:
    if error.errno in _FULL:
        return SinkUnavailable("The disk is full. Free some space; it is tried again by itself.", reason="disk_full")
    what = os.strerror(error.errno) if error.errno else type(error).__name__
    return SinkUnavailable(f"The folder cannot be written: {what}. Check its permissions and the disk.")
