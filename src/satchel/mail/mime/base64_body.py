"""Reads base64 bodies (RFC 2045 section 6.8) as real mail has them, exactly and at memory speed.

Characters outside the alphabet are skipped. The first `=` ends the data, as the RFC allows and as GMime and Python's
own decoder do: what follows in real mail is a footer that a mailing list added. Without padding the last incomplete
group counts for the bytes it holds. So the size is always three quarters of the characters before the first `=`,
rounded down.
"""

import string
from collections.abc import Iterator

import pybase64

from satchel.mail.mime.size_index import ContentChanged, SizeIndex
from satchel.mail.mime.window import pread_all

WINDOW_BYTES = 512 * 1024
_ALPHABET = (string.ascii_letters + string.digits + "+/").encode()
_NON_ALPHABET = bytes(sorted(set(range(256)) - set(_ALPHABET)))


def decode_block(body: bytes) -> bytes:
    """The decoded bytes of a whole body in memory."""
    return _decode_last(body.partition(b"=")[0].translate(None, _NON_ALPHABET))


def measure(fd: int, start: int, stop: int) -> SizeIndex:
    """Counts the body at `start` to `stop`. Raises `ContentChanged` where the file is shorter, `OSError` as `pread`."""
    characters = 0
    marks: list[tuple[int, int]] = []
    for offset in range(start, stop, WINDOW_BYTES):
        data = _read(fd, offset, min(WINDOW_BYTES, stop - offset))
        marks.append((offset, characters))
        padding = data.find(b"=")
        if padding >= 0:
            stop = offset + padding
            data = data[:padding]
        characters += len(data.translate(None, _NON_ALPHABET))
        if padding >= 0:
            break
    return SizeIndex(characters * 3 // 4, tuple(marks), stop)


def decode(fd: int, index: SizeIndex, start: int, stop: int) -> Iterator[bytes]:
    """The decoded bytes `start` to `stop`, which must lie within `index.total`, in pieces of at most 384 KiB."""
    position = start // 3 * 3
    offset, counted = index.mark_before(start // 3 * 4)
    skip = start // 3 * 4 - counted
    carry = b""
    while position < stop and offset < index.stop:
        data = _read(fd, offset, min(WINDOW_BYTES, index.stop - offset))
        offset += len(data)
        characters = data.translate(None, _NON_ALPHABET)
        if skip:
            skipped = min(skip, len(characters))
            characters = characters[skipped:]
            skip -= skipped
        if carry:
            characters = carry + characters
        if offset < index.stop:
            whole = len(characters) & ~3
            carry = characters[whole:]
            piece = pybase64.b64decode(characters[:whole], validate=True)
        else:
            piece = _decode_last(characters)
        begin = max(start - position, 0)
        wanted = piece[begin : stop - position] if begin or position + len(piece) > stop else piece
        position += len(piece)
        if wanted:
            yield wanted
    if position < stop:
        raise ContentChanged("the attachment has fewer bytes than when it was measured; list the message again")


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
