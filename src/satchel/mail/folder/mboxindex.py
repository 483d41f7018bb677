"""Where the messages of an mbox file begin: found once, then only what was appended is read.

Thirty bytes a message. Messages are told apart by a digest of their header, because an mbox gives them no names.
"""

import hashlib
import os
from array import array
from bisect import bisect_left

from satchel.mail.folder.files import Identity, identity
from satchel.mail.folder.seen import Seen

_PIECE_BYTES = 1 << 20
_FIRST_HEADER_BYTES = 8 * 1024
_MAX_HEADER_BYTES = 256 * 1024
_FROM = b"From "
# Enough of the piece before to recognise a separator that begins in it: a blank line (CRLF) and "From ".
_OVERLAP_BYTES = 16
_DIGEST_BYTES = 16
# What mail programs rewrite in place, so that it must not be part of a message's identity.
_VOLATILE = frozenset(
    b"status x-status x-keywords x-uid x-imap x-imapbase content-length lines"
    b" x-mozilla-status x-mozilla-status2 x-mozilla-keys".split()
)


class MboxIndex:
    """Offsets and digests of one mbox file (mboxo or mboxrd: `From ` after a blank line begins a message, RFC 4155).

    Not safe for threads: its owner locks. `generation` counts how often it had to begin anew.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._identity: Identity | None = None
        self._starts = array("Q")
        self._digests = bytearray()
        self._occurrences = array("I")
        self._known = Seen()
        self._repeated: dict[bytes, int] = {}
        self._scanned_to = 0
        self._last_is_open = False

    def __len__(self) -> int:
        return len(self._starts)

    def refresh(self, fd: int) -> Identity:
        """Catch up with the file. Costs nothing when it is unchanged, and only the growth when it only grew."""
        now = identity(fd)
        if now == self._identity:
            return now
        if not self._only_grew(fd, now):
            self._begin_anew()
        elif self._last_is_open:
            self._drop_last()
        self._scan(fd, now.size)
        self._identity = now
        return now

    def key(self, at: int) -> bytes:
        """The name of the message at a position: the digest of its header, and which one of its equals it is."""
        digest = self._digests[at * _DIGEST_BYTES : (at + 1) * _DIGEST_BYTES]
        return b"%s.%d" % (digest.hex().encode("ascii"), self._occurrences[at])

    def start(self, at: int) -> int:
        return self._starts[at]

    def find(self, key: bytes, hint: int) -> int | None:
        """The position of a message by its key; `hint` is the offset where it was last."""
        at = bisect_left(self._starts, hint)
        if at < len(self._starts) and self.key(at) == key:
            return at
        try:
            text, _, occurrence = key.partition(b".")
            digest = bytes.fromhex(text.decode("ascii"))
        except ValueError:
            return None
        found = self._digests.find(digest) if len(digest) == _DIGEST_BYTES else -1
        while found >= 0:
            at, odd = divmod(found, _DIGEST_BYTES)
            if not odd and b"%d" % self._occurrences[at] == occurrence:
                return at
            found = self._digests.find(digest, found + 1)
        return None

    def extent(self, fd: int, at: int) -> tuple[int, int]:
        """The byte range of a message, without its `From ` line and without the blank line that ends it."""
        start = self._starts[at]
        end = self._starts[at + 1] if at + 1 < len(self._starts) else self._scanned_to
        line = os.pread(fd, _FIRST_HEADER_BYTES, start).find(b"\n")
        begin = min(start + line + 1, end) if line >= 0 else end
        tail = os.pread(fd, 4, max(begin, end - 4))
        for blank in (b"\r\n\r\n", b"\n\n"):
            if tail.endswith(blank):
                return begin, max(begin, end - len(blank) // 2)
        return begin, end

    def _begin_anew(self) -> None:
        self.generation += 1
        del self._starts[:]
        del self._digests[:]
        del self._occurrences[:]
        self._known = Seen()
        self._repeated.clear()
        self._scanned_to = 0
        self._last_is_open = False

    def _only_grew(self, fd: int, now: Identity) -> bool:
        then = self._identity
        if then is None or not self._starts or then.size >= now.size:
            return False
        if (then.device, then.inode) != (now.device, now.inode):
            return False
        start = self._starts[-1]
        if os.pread(fd, len(_FROM), start) != _FROM:
            return False
        digest, _ = _header_digest(fd, start, now.size)
        return self._last_is_open or digest == self._digests[-_DIGEST_BYTES:]

    def _drop_last(self) -> None:
        self._scanned_to = self._starts.pop()
        self._occurrences.pop()
        del self._digests[-_DIGEST_BYTES:]

    def _scan(self, fd: int, size: int) -> None:
        self._last_is_open = False
        if self._scanned_to == 0 and os.pread(fd, len(_FROM), 0) == _FROM:
            self._append(fd, 0, size)
        offset = max(0, self._scanned_to - _OVERLAP_BYTES)
        while offset < size:
            piece = os.pread(fd, min(_PIECE_BYTES, size - offset), offset)
            if not piece:
                break
            for start in _separators(piece):
                if not self._starts or offset + start > self._starts[-1]:
                    self._append(fd, offset + start, size)
            if offset + len(piece) >= size:
                break
            offset += len(piece) - _OVERLAP_BYTES
        self._scanned_to = size

    def _append(self, fd: int, start: int, size: int) -> None:
        digest, complete = _header_digest(fd, start, size)
        occurrence = self._repeated.get(digest, 1) if digest in self._known else 0
        if complete and not self._known.add(digest):
            self._repeated[digest] = occurrence + 1
        self._last_is_open = not complete
        self._starts.append(start)
        self._digests += digest
        self._occurrences.append(occurrence)


def _separators(piece: bytes) -> list[int]:
    """Where `From ` stands in a piece right after a blank line."""
    found = []
    at = piece.find(b"\nFrom ")
    while at >= 0:
        if piece[:at].endswith((b"\n", b"\n\r")):
            found.append(at + 1)
        at = piece.find(b"\nFrom ", at + 1)
    return found


def _header_digest(fd: int, start: int, size: int) -> tuple[bytes, bool]:
    """The digest of the header of the message whose `From ` line is at `start`, and whether the header is all there."""
    header, complete = _read_header(fd, start, size)
    digest = hashlib.sha256()
    keep = True
    for line in header.split(b"\n")[1:]:
        if not line.startswith((b" ", b"\t")):
            keep = line.partition(b":")[0].strip().lower() not in _VOLATILE
        if keep and line.strip():
            digest.update(line.rstrip(b"\r") + b"\n")
    return digest.digest()[:_DIGEST_BYTES], complete


def _read_header(fd: int, start: int, size: int) -> tuple[bytes, bool]:
    for wanted in (_FIRST_HEADER_BYTES, _MAX_HEADER_BYTES):
        header = os.pread(fd, min(wanted, size - start), start)
        ends = [at for at in (header.find(b"\n\n"), header.find(b"\n\r\n")) if at >= 0]
        if ends:
            return header[: min(ends)], True
    return header, len(header) == _MAX_HEADER_BYTES
