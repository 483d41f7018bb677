"""Finds uuencoded files that stand within plain text, as mailers sent them before MIME."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from satchel.mail.mime.charsets import decode_text
from satchel.mail.mime.window import Window

# What must stand before is looked at last, so that the search can go by the first characters at memory speed.
_BEGIN = re.compile(
    rb"begin (?:(?<=[\r\n]begin )|(?<=\Abegin ))[0-7]{3,4} ([^\r\n]{1,500})(?:\r\n|\n|\r)([!-`][^\r\n]{0,90})(?=[\r\n])"
)
_END = re.compile(rb"end(?<=[\r\n]end)[ \t]*(?=[\r\n]|\Z)")
_OVERLAP_BYTES = 2048


@dataclass(frozen=True, slots=True)
class UuencodedFile:
    """The name on the `begin` line, and the file offsets of the data lines."""

    name: str
    start: int
    stop: int


def find_uuencoded(window: Window, start: int, stop: int) -> Iterator[UuencodedFile]:
    """Every complete block of the text at `start` to `stop`, which begins a line."""
    while True:
        begin = _search(window, _BEGIN, start, stop)
        if begin is None:
            return
        match, base = begin
        first_line = match[2]
        start = base + match.start(2)
        if not _is_data_line(first_line):
            continue
        end = _search(window, _END, start, stop)
        if end is None:
            return  # No block after this one can have an end either.
        data_stop = end[1] + end[0].start()
        yield UuencodedFile(decode_text(match[1]).strip(), start, data_stop)
        start = data_stop


def data_start(window: Window, start: int, stop: int) -> tuple[str | None, int]:
    """The name and the first data line of a body that is uuencoded as a whole; where it has no `begin`, its start."""
    match_at = _search(window, _BEGIN, start, min(stop, start + 64 * 1024))
    if match_at is None:
        return None, start
    match, base = match_at
    return decode_text(match[1]).strip(), base + match.start(2)


def _is_data_line(line: bytes) -> bool:
    """Whether the length that the first character states is the line's own (a checksum character may follow)."""
    needed = (((line[0] - 32) & 63) + 2) // 3 * 4
    return needed > 0 and needed <= len(line) - 1 <= needed + 2


def _search(window: Window, pattern: re.Pattern[bytes], start: int, stop: int) -> tuple[re.Match[bytes], int] | None:
    """The first match in `start` to `stop` and the file offset that it counts from."""
    position = start
    while position < stop:
        window.hold(max(position - 1, window.start), min(_OVERLAP_BYTES * 2, stop - position + 1))
        limit = min(len(window.data), stop - window.base)
        match = pattern.search(window.data, position - window.base, limit)
        if match is not None and (match.end() < limit or window.base + limit >= stop or window.reaches_end):
            return match, window.base
        if window.base + limit >= stop or window.reaches_end:
            return None
        position = max(window.base + limit - _OVERLAP_BYTES, position + 1)
    return None
