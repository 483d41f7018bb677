"""Reads base64 bodies (RFC 2045 section 6.8) as real mail has them, exactly and at memory speed.

Characters outside the alphabet are skipped. The first `=` ends the data, as the RFC allows and as GMime and Python's
own decoder do: what follows in real mail is a footer that a mailing list added. Without padding the last incomplete
group counts for the bytes it holds. So the size is always three quarters of the characters before the first `=`,
rounded down.
"""

import binascii
import string
from collections.abc import Callable, Iterator

import pybase64

from satchel.mail.mime.size_index import ContentChanged, SizeIndex
from satchel.mail.mime.window import pread_all

# Small enough that what comes out is still in the processor's cache when it is sent on.
WINDOW_BYTES = 256 * 1024
# How far a range reads at most before it comes to its first byte.
MARK_BYTES = 1024 * 1024
_ALPHABET = (string.ascii_letters + string.digits + "+/").encode()
_NON_ALPHABET = bytes(sorted(set(range(256)) - set(_ALPHABET)))


def decode_block(body: bytes) -> bytes:
    """The decoded bytes of a whole body in memory."""
    return _decode_last(body.partition(b"=")[0].translate(None, _NON_ALPHABET))


def measure(fd: int, start: int, stop: int) -> SizeIndex:
    """Counts the body at `start` to `stop`. Raises `ContentChanged` where the file is shorter, `OSError` as `pread`."""
    characters = 0
    marks: list[tuple[int, int]] = []
    offset = start
    while offset < stop:
        data = _read_lines(fd, offset, stop, WINDOW_BYTES)
        if not marks or offset - marks[-1][0] >= MARK_BYTES:
            marks.append((offset, characters))
        padding = data.find(b"=")
        if padding >= 0:
            stop = offset + padding
            data = data[:padding]
        plain = _decode_plain(data)
        characters += len(data.translate(None, _NON_ALPHABET)) if plain is None else len(plain) // 3 * 4
        offset += len(data)
    return SizeIndex(characters * 3 // 4, tuple(marks), stop)


def _widest() -> int:
    return WINDOW_BYTES


def decode(
    fd: int, index: SizeIndex, start: int, stop: int, window_bytes: Callable[[], int] = _widest
) -> Iterator[bytes]:
    """The decoded bytes `start` to `stop`, which must lie within `index.total`, in pieces of at most 192 KiB.

    `window_bytes` says before each reading how much of the encoded body to read at the most.
    """
    offset, counted = index.mark_before(start // 3 * 4)
    # A mark may lie within a group of four; the rest of that group is behind `start` only if `start` is in it.
    skip = -counted % 4
    position = (counted + skip) // 4 * 3
    if position > start:
        offset, counted = index.mark_before(counted - 1)
        skip = -counted % 4
        position = (counted + skip) // 4 * 3
    for piece in _pieces(fd, offset, index.stop, skip, window_bytes):
        begin = max(start - position, 0)
        wanted = piece[begin : stop - position] if begin or position + len(piece) > stop else piece
        position += len(piece)
        if wanted:
            yield wanted
        if position >= stop:
            return
    raise ContentChanged("the attachment has fewer bytes than when it was measured; list the message again")


def _pieces(fd: int, offset: int, stop: int, skip: int, window_bytes: Callable[[], int]) -> Iterator[bytes]:
    """What the body from `offset` decodes to, without its first `skip` characters, piece by piece."""
    carry = b""
    while offset < stop:
        data = _read_lines(fd, offset, stop, window_bytes())
        offset += len(data)
        plain = None if skip or carry else _decode_plain(data)
        if plain is not None:
            yield plain
            continue
        characters = carry + data.translate(None, _NON_ALPHABET)
        skipped = min(skip, len(characters))
        skip -= skipped
        whole = skipped + ((len(characters) - skipped) & ~3) if offset < stop else len(characters)
        carry = characters[whole:]
        yield _decode_last(characters[skipped:whole])


def _decode_plain(data: bytes) -> bytes | None:
    """The quick way for a piece of whole groups and line ends and nothing else, as nearly all mail has it; else None.

    It skips the line ends while it decodes, which is three times as fast as taking everything foreign out first.
    """
    try:
        return pybase64.b64decode(data, ignorechars=b"\r\n")
    except binascii.Error:
        return None


def _read_lines(fd: int, offset: int, stop: int, window_bytes: int) -> bytes:
    """A window of the body, cut behind its last line end, so that the next one begins with a line and so a group."""
    data = _read(fd, offset, min(WINDOW_BYTES, window_bytes, stop - offset))
    if offset + len(data) < stop:
        cut = data.rfind(b"\n") + 1
        return data[:cut] if cut else data
    return data


def _decode_last(characters: bytes) -> bytes:
    missing = -len(characters) % 4
    if missing == 3:  # One character alone holds no whole byte.
        return pybase64.b64decode(characters[:-1], validate=True)
    if not missing:
        return pybase64.b64decode(characters, validate=True)
    return pybase64.b64decode(characters + b"A" * missing, validate=True)[:-missing]


def _read(fd: int, offset: int, wanted: int) -> bytes:
    data = pread_all(fd, wanted, offset)
    if len(data) < wanted:
        raise ContentChanged("the message is shorter than when it was read; list it again")
    return data
