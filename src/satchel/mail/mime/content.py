"""The bytes of an attachment: its exact decoded size, and its decoded content in pieces, whole or a range.

Everything here blocks on the disk and on the processor: call it in a thread.
"""

from collections.abc import Callable, Iterator

from satchel.mail.mime import base64_body, line_body
from satchel.mail.mime.found import Encoding, FoundAttachment
from satchel.mail.mime.size_index import ContentChanged, SizeIndex
from satchel.mail.mime.window import pread_all

__all__ = ["PIECE_BYTES", "ContentChanged", "SizeIndex", "decode", "measure"]

PIECE_BYTES = 512 * 1024


def measure(fd: int, found: FoundAttachment) -> SizeIndex:
    """The exact decoded size of an attachment, by a counting pass over its encoded body.

    Raises `ContentChanged` when the file is shorter than when the attachment was found, else `OSError` as `os.pread`.
    """
    if found.encoding is Encoding.BASE64:
        return base64_body.measure(fd, found.start, found.stop)
    if found.encoding is Encoding.IDENTITY:
        return SizeIndex(found.stop - found.start, ((found.start, 0),), found.stop)
    return line_body.measure(fd, found.encoding, found.start, found.stop)


def _no_less() -> int:
    return PIECE_BYTES


def decode(
    fd: int,
    found: FoundAttachment,
    index: SizeIndex,
    start: int = 0,
    stop: int | None = None,
    window_bytes: Callable[[], int] = _no_less,
) -> Iterator[bytes]:
    """The decoded bytes `start` (included) to `stop` (excluded; None: to the end), in pieces of at most 1 MiB.

    `window_bytes` says before each reading how much may be read, where the encoding lets that vary; the pieces are no
    larger. Yields exactly that many bytes, a range being cut at `index.total`, or raises `ContentChanged`; `OSError` as
    `os.pread`. A range costs about the range and not the file.
    """
    begin = max(start, 0)
    end = index.total if stop is None else min(stop, index.total)
    if begin >= end:
        return iter(())
    if found.encoding is Encoding.BASE64:
        return base64_body.decode(fd, index, begin, end, window_bytes)
    if found.encoding is Encoding.IDENTITY:
        return _as_it_stands(fd, found.start + begin, found.start + end, window_bytes)
    return line_body.decode(fd, found.encoding, index, begin, end)


def _as_it_stands(fd: int, start: int, stop: int, window_bytes: Callable[[], int]) -> Iterator[bytes]:
    while start < stop:
        piece = pread_all(fd, min(PIECE_BYTES, window_bytes(), stop - start), start)
        if not piece:
            raise ContentChanged("the message is shorter than when it was read; list it again")
        yield piece
        start += len(piece)
