"""A file that appears under its name only when it is whole and on disk. Written and hashed in a thread of its own."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

from satchel.client.errors import AlreadyExists

_WRITE_BYTES = 1024 * 1024

Result = TypeVar("Result")


class PartFile:
    """The temporary beside `path`. At most about 3 MiB wait in memory. Leaving the block without `finish` removes it.

    Raises AlreadyExists where `path` exists and `overwrite` is false, and OSError of the disk.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self._path = path
        self._overwrite = overwrite
        # A short name of its own: the final one may be as long as the file system allows.
        self._temporary = path.parent / f".satchel-{secrets.token_hex(8)}.part"
        # One thread, so that writes, the reset and the close stay in order even when the task is cancelled.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="satchel-part")
        self._descriptor = -1
        self._digest = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._writing: asyncio.Future[None] | None = None
        self.size = 0
        """Bytes taken so far, also those that still wait to be written."""

    async def __aenter__(self) -> Self:
        try:
            await self._run(self._create)
        except BaseException:
            await self._abandon()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._abandon()

    async def write(self, piece: bytes) -> None:
        """Take the next bytes. Returns while at most one write is under way, so reading and writing overlap."""
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        self.size += len(piece)
        if self._waiting_bytes >= _WRITE_BYTES:
            await self._settle()
            self._start_write()

    async def restart(self) -> None:
        """Forget all bytes."""
        self._waiting, self._waiting_bytes, self.size = [], 0, 0
        await self._settle()
        await self._run(self._truncate)

    async def finish(self) -> str:
        """Write the rest, sync file and folder, give the file its name; its SHA-256 in hexadecimal."""
        await self._settle()
        self._start_write()
        await self._settle()
        return await self._run(self._publish)

    def _start_write(self) -> None:
        pieces, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._writing = asyncio.ensure_future(self._run(lambda: self._append(pieces)))

    async def _settle(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _abandon(self) -> None:
        writing, self._writing = self._writing, None
        discarding = self._thread.submit(self._discard)
        self._thread.shutdown(wait=False)
        # Shielded: a second cancellation ends the waiting, not the clean-up.
        await asyncio.shield(asyncio.wrap_future(discarding))
        if writing is not None:
            await asyncio.gather(writing, return_exceptions=True)

    # What follows runs in the thread.

    def _create(self) -> None:
        if not self._overwrite and os.path.lexists(self._path):
            raise self._already_exists()
        self._descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def _append(self, pieces: Sequence[bytes]) -> None:
        # Joined, because each call that lets go of the interpreter may wait 5 ms to get it back from the reader.
        block = b"".join(pieces)
        self._digest.update(block)
        view = memoryview(block)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _truncate(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._digest = hashlib.sha256()

    def _publish(self) -> str:
        os.fsync(self._descriptor)
        if self._overwrite:
            self._temporary.replace(self._path)
        else:
            self._link()
            self._temporary.unlink(missing_ok=True)
        _sync_folder(self._path.parent)
        return self._digest.hexdigest()

    def _link(self) -> None:
        """Put if absent: a link fails where the name was taken meanwhile, a rename would replace it."""
        try:
            os.link(self._temporary, self._path)
        except FileExistsError:
            raise self._already_exists() from None
        except OSError:
            # File systems without hard links (exFAT, some network shares): the check and the rename are two steps.
            if os.path.lexists(self._path):
                raise self._already_exists() from None
            self._temporary.rename(self._path)

    def _discard(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)

    def _already_exists(self) -> AlreadyExists:
        return AlreadyExists(f"{self._path} exists already. Choose another name, or allow it to be overwritten.")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
