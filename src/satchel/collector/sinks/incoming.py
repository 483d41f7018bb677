"""One attachment on its way to its final name: a temporary file with its digest, then sidecar, then link."""

import hashlib
import os
import secrets
from contextlib import suppress

import msgspec

from satchel.collector.sinks.sink import Provenance

INCOMING = ".incoming"
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# The system's limit on buffers of one call (IOV_MAX) is 1024 on Linux.
_MAX_BUFFERS = 512


class Sidecar(Provenance, frozen=True, kw_only=True, rename="camel"):
    """The JSON beside a file: where it comes from, how long it is and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


def sidecar_name(name: str) -> str:
    return f"{name}.json"


class Incoming:
    """A temporary file in the folder `incoming`, made at the first write. Its methods block: call them in a thread.

    `active` is the sink's set of names in use, which the sweeper spares. Call `discard` at the end in any case.
    """

    def __init__(self, incoming: int, active: set[str]) -> None:
        self._incoming = incoming
        self._active = active
        self._name = secrets.token_hex(16)
        self._sidecar_name = sidecar_name(self._name)
        self._file: int | None = None
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, pieces: list[bytes]) -> None:
        """Append. Raises OSError; then only `discard` may follow."""
        if self._file is None:
            self._active.update((self._name, self._sidecar_name))
            self._file = os.open(self._name, _WRITE, 0o600, dir_fd=self._incoming)
        for at in range(0, len(pieces), _MAX_BUFFERS):
            buffers = [memoryview(piece) for piece in pieces[at : at + _MAX_BUFFERS]]
            for buffer in buffers:
                self._digest.update(buffer)
            self._size += sum(len(buffer) for buffer in buffers)
            _write_all(self._file, buffers)

    def publish(self, folder: int, name: str, provenance: Provenance) -> Sidecar:
        """Make the file appear as `name` in the folder, its sidecar before it. Raises OSError."""
        if self._file is None:
            self.write([])
        sidecar = Sidecar(**msgspec.structs.asdict(provenance), size=self._size, sha256=self._digest.hexdigest())
        if self._file is not None:
            os.fsync(self._file)
        self._write_sidecar(sidecar)
        os.rename(self._sidecar_name, sidecar_name(name), src_dir_fd=self._incoming, dst_dir_fd=folder)
        # Names reach the disk with their folder: first the sidecar's, then the file's.
        os.fsync(folder)
        # Unlike a rename, a link does not replace what is there.
        os.link(self._name, name, src_dir_fd=self._incoming, dst_dir_fd=folder, follow_symlinks=False)
        os.fsync(folder)
        return sidecar

    def _write_sidecar(self, sidecar: Sidecar) -> None:
        descriptor = os.open(self._sidecar_name, _WRITE, 0o600, dir_fd=self._incoming)
        try:
            _write_all(descriptor, [memoryview(msgspec.json.encode(sidecar))])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def discard(self) -> None:
        """Remove the temporary names; what was published keeps its final one."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        for name in (self._name, self._sidecar_name):
            if name in self._active:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._incoming)
                self._active.discard(name)


def _write_all(descriptor: int, buffers: list[memoryview]) -> None:
    """A full disk writes a part first and fails at the next call, so go on until all is written."""
    while buffers:
        written = os.writev(descriptor, buffers)
        while buffers and written >= len(buffers[0]):
            written -= len(buffers[0])
            buffers.pop(0)
        if buffers:
            buffers[0] = buffers[0][written:]
