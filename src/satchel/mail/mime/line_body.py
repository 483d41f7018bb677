"""Reads bodies whose encodings work line by line: quoted-printable (RFC 2045 section 6.7) and uuencode.

A body is cut into blocks at line ends, always at the same places, and each block decodes on its own: so counting,
decoding and decoding a range cannot disagree.
"""

import binascii
import re
from collections.abc import Iterator

from satchel.mail.mime.found import Encoding
from satchel.mail.mime.size_index import ContentChanged, SizeIndex
from satchel.mail.mime.window import pread_all

# What a stream holds at least, since blocks must be cut at the same places every time.
_QP_BLOCK_BYTES = 64 * 1024
# A uuencoded line of two bytes can stand for 45: small blocks keep the decoded pieces below 1 MiB.
_UU_BLOCK_BYTES = 32 * 1024

# The first blank of a run, so that a run of any length is looked at once.
_TRAILING_BLANKS = re.compile(rb"[ \t](?<![ \t]{2})[ \t]*+(?=[\r\n]|\Z)")
_LONE_CR_SOFT_BREAK = re.compile(rb"=\r(?!\n)")
_UU_END = re.compile(rb"^(?:[` ]|end[ \t]*$)", re.MULTILINE)
_UU_TABLE = bytes(((code - 32) & 63) + 32 for code in range(256))


def decode_quoted_printable(block: bytes) -> bytes:
    """Decodes lines; blanks before a line end are dropped (rule 3), what is no valid escape stays as it stands."""
    if b"\t" in block or block.endswith(b" ") or b" \n" in block or b" \r" in block:
        block = _TRAILING_BLANKS.sub(b"", block)
    return binascii.a2b_qp(_LONE_CR_SOFT_BREAK.sub(b"=\n", block))


def decode_uuencoded(block: bytes) -> bytes:
    """Decodes data lines; a short line had its spaces trimmed on the way, characters too many are ignored."""
    pieces: list[bytes] = []
    for line in block.replace(b"\r", b"\n").split(b"\n"):
        if line:
            needed = (((line[0] - 32) & 63) * 8 + 5) // 6
            pieces.append(binascii.a2b_uu(line[: needed + 1].translate(_UU_TABLE)))
    return b"".join(pieces)


def measure(fd: int, encoding: Encoding, start: int, stop: int) -> SizeIndex:
    """Counts the body at `start` to `stop`. Raises `ContentChanged` where the file is shorter, `OSError` as `pread`."""
    if encoding is Encoding.UUENCODE:
        stop = _uuencoded_stop(fd, start, stop)
    marks: list[tuple[int, int]] = []
    total = 0
    for offset, block in _blocks(fd, encoding, start, stop):
        marks.append((offset, total))
        total += len(_decode_block(encoding, block))
    return SizeIndex(total, tuple(marks), stop)


def decode(fd: int, encoding: Encoding, index: SizeIndex, start: int, stop: int) -> Iterator[bytes]:
    """The decoded bytes `start` to `stop`, which must lie within `index.total`, in pieces of at most 1 MiB."""
    offset, position = index.mark_before(start)
    for _, block in _blocks(fd, encoding, offset, index.stop):
        piece = _decode_block(encoding, block)
        wanted = piece[max(start - position, 0) : max(stop - position, 0)]
        position += len(piece)
        if wanted:
            yield wanted
        if position >= stop:
            return
    if position < stop:
        raise ContentChanged("the attachment has fewer bytes than when it was measured; list the message again")


def _decode_block(encoding: Encoding, block: bytes) -> bytes:
    return decode_uuencoded(block) if encoding is Encoding.UUENCODE else decode_quoted_printable(block)


def _blocks(fd: int, encoding: Encoding, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    size = _UU_BLOCK_BYTES if encoding is Encoding.UUENCODE else _QP_BLOCK_BYTES
    while start < stop:
        wanted = min(size, stop - start)
        data = pread_all(fd, wanted, start)
        if len(data) < wanted:
            raise ContentChanged("the message is shorter than when it was read; list it again")
        if start + wanted < stop:
            data = data[: _cut(data)]
        yield start, data
        start += len(data)


def _cut(data: bytes) -> int:
    """Where a block ends that the body goes on after: behind its last line, or before what must not be torn apart."""
    line_end = data.rfind(b"\n") + 1
    if line_end:
        return line_end
    kept = len(data.rstrip(b" \t\r"))
    escape = data.rfind(b"=", max(kept - 2, 0), kept)
    return (escape if escape >= 0 else kept) or len(data)


def _uuencoded_stop(fd: int, start: int, stop: int) -> int:
    for offset, block in _blocks(fd, Encoding.UUENCODE, start, stop):
        end = _UU_END.search(block.replace(b"\r", b"\n"))
        if end is not None:
            return offset + end.start()
    return stop
