"""A message opened on disk: its byte range, and the proof that the bytes are still those of when it was opened."""

import hashlib
import os
from datetime import UTC, datetime

from satchel.mail.folder.files import Identity, OpenFile, identity
from satchel.mail.source import SourceUnavailable

_SAMPLE_BYTES = 16 * 1024
_SAMPLES = 16


class OpenMessage:
    """Bytes `start` to `stop` of an open file.

    `witness` differs when the bytes could differ. A file of its own vouches for its message by size and modification
    time. An mbox is appended to all the time, so there samples of the message's own bytes do.
    """

    def __init__(self, file: OpenFile, start: int, stop: int, seen_as: Identity, *, shared: bool) -> None:
        self.file = file
        self.start = start
        self.stop = stop
        self.identity = seen_as
        self._shared = shared
        with file.reading() as fd:
            self.witness = self._testimony(fd, seen_as)

    @property
    def is_shared(self) -> bool:
        """Whether the file holds other messages too, so that its times are not this message's."""
        return self._shared

    @property
    def modified(self) -> datetime:
        return datetime.fromtimestamp(self.identity.mtime_ns // 1_000_000_000, UTC)

    def check(self, fd: int) -> None:
        """Raise `SourceUnavailable` when the bytes may be others than when the message was opened."""
        now = identity(fd)
        if now == self.identity:
            return
        if now.size < self.stop or self._testimony(fd, now) != self.witness:
            raise SourceUnavailable("The message changed while it was being read: list its attachments again.")
        self.identity = now

    def close(self) -> None:
        self.file.close()

    def _testimony(self, fd: int, seen_as: Identity) -> bytes:
        if not self._shared:
            return b"%d %d" % (seen_as.mtime_ns, seen_as.size)
        digest = hashlib.sha256(b"%d" % (self.stop - self.start))
        step = max(_SAMPLE_BYTES, (self.stop - self.start) // _SAMPLES)
        for offset in [*range(self.start, self.stop, step), max(self.start, self.stop - _SAMPLE_BYTES)]:
            digest.update(os.pread(fd, min(_SAMPLE_BYTES, self.stop - offset), offset))
        return digest.digest()
