"""Walks a message's MIME tree by byte offsets (RFC 2046 section 5.1), in one pass and in bounded memory.

It finds where parts begin and end and reads their header fields; what the parts mean is decided elsewhere.
"""

import re
from dataclasses import dataclass, field
from hashlib import sha256

from satchel.mail.mime import parameters
from satchel.mail.mime.bounds import Bounds, MessageTooComplex
from satchel.mail.mime.headers import first_fields, is_field_line
from satchel.mail.mime.parameters import ParameterisedValue
from satchel.mail.mime.window import Window

MAX_BOUNDARY_BYTES = 256
# A delimiter line with as much padding as is looked at; longer lines delimit nothing.
_MAX_DELIMITER_BYTES = 1024
_LINE_BREAK_PROBE_BYTES = 64 * 1024

_FIELDS = frozenset(
    {
        "content-type",
        "content-disposition",
        "content-transfer-encoding",
        "content-id",
        "x-mozilla-cloud-part",
    }
)
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$%&'*+.^_`{|}~-]{1,127}/[a-z0-9!#$%&'*+.^_`{|}~-]{1,127}")
_WITHOUT_SUBTYPE = {"text": "text/plain", "multipart": "multipart/mixed"}


@dataclass(slots=True, eq=False)
class Part:
    """One node of the tree: its place, its header fields and the byte range of its body."""

    path: str
    depth: int
    position: int
    parent: "Part | None"
    content_type: str
    type_parameters: dict[str, bytes]
    disposition: ParameterisedValue
    fields: dict[str, bytes]
    header_digest: bytes
    body_start: int
    body_stop: int
    children: int = 0

    @property
    def is_multipart(self) -> bool:
        return self.content_type.startswith("multipart/")


@dataclass(frozen=True, slots=True)
class _LineBreaks:
    """How lines end in this message: LF (with or without CR before it), or bare CR in old Macintosh mail."""

    delimiter: re.Pattern[bytes]
    blank_line: re.Pattern[bytes]
    end: bytes


_LF = _LineBreaks(re.compile(rb"\n--([^\n]{1,1024})(?=\n|\Z)"), re.compile(rb"\n\r?\n"), b"\n")
_CR = _LineBreaks(re.compile(rb"\r--([^\r]{1,1024})(?=\r|\Z)"), re.compile(rb"\r\r"), b"\r")


@dataclass(frozen=True, slots=True)
class _Delimiter:
    line_start: int
    next_line: int
    open_index: int
    closes: bool


@dataclass(slots=True)
class _Scanner:
    window: Window
    bounds: Bounds
    breaks: _LineBreaks
    open_parts: list[Part] = field(default_factory=list)
    open_boundaries: dict[bytes, list[int]] = field(default_factory=dict)
    boundaries: list[bytes] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    header_bytes: int = 0


def scan(window: Window, bounds: Bounds) -> tuple[bytes, list[Part]]:
    """The message's own header block and all its parts in the message's order, the first being the message itself.

    Raises `MessageTooComplex` when a bound is passed and `OSError` when the file cannot be read.
    """
    scanner = _Scanner(window, bounds, _line_breaks(window))
    root, header = _read_part(scanner, window.start, None)
    part = root
    while True:
        _open_if_multipart(scanner, part)
        delimiter = _next_delimiter(scanner, part.body_start)
        while delimiter is not None and delimiter.closes:
            _end_part(scanner, part, delimiter)
            _close_down_to(scanner, delimiter.open_index, delimiter.line_start)
            delimiter = _next_delimiter(scanner, delimiter.next_line) if scanner.open_parts else None
        if delimiter is None:
            break
        _end_part(scanner, part, delimiter)
        _close_down_to(scanner, delimiter.open_index + 1, delimiter.line_start)
        part, _ = _read_part(scanner, delimiter.next_line, scanner.open_parts[-1])
    for each in scanner.parts:
        each.body_stop = window.stop if each.body_stop < 0 else min(each.body_stop, window.stop)
        each.body_stop = max(each.body_start, each.body_stop)
    return header, scanner.parts


def _line_breaks(window: Window) -> _LineBreaks:
    window.hold(window.start, _LINE_BREAK_PROBE_BYTES)
    return _CR if b"\r" in window.data and b"\n" not in window.data[:_LINE_BREAK_PROBE_BYTES] else _LF


def _read_part(scanner: _Scanner, offset: int, parent: Part | None) -> tuple[Part, bytes]:
    if len(scanner.parts) >= scanner.bounds.max_parts:
        raise MessageTooComplex("parts", scanner.bounds.max_parts)
    header, body_start = _read_header(scanner, offset)
    fields = dict(first_fields(header, _FIELDS))
    parsed_type = parameters.parse(fields.pop("content-type", b""))
    default = "message/rfc822" if parent is not None and parent.content_type == "multipart/digest" else "text/plain"
    position = 0 if parent is None else parent.children
    path = ""
    if parent is not None:
        parent.children += 1
        path = f"{parent.path}.{parent.children}" if parent.path else str(parent.children)
    part = Part(
        path=path,
        depth=0 if parent is None else parent.depth + 1,
        position=position,
        parent=parent,
        content_type=_media_type(parsed_type.value, default),
        type_parameters=parsed_type.parameters,
        disposition=parameters.parse(fields.pop("content-disposition", b"")),
        fields=fields,
        header_digest=sha256(header).digest(),
        body_start=body_start,
        body_stop=-1,
    )
    scanner.parts.append(part)
    return part, header


def _media_type(value: str, default: str) -> str:
    """RFC 2045 section 5.2 for a type that is absent; one that is malformed is data of an unknown type."""
    if not value:
        return default
    if _MEDIA_TYPE.fullmatch(value):
        return value
    return _WITHOUT_SUBTYPE.get(value.rstrip("/"), "application/octet-stream")


def _read_header(scanner: _Scanner, offset: int) -> tuple[bytes, int]:
    """The header block at `offset`, and where the body begins: after a blank line, or at a delimiter that cuts in."""
    limit = scanner.bounds.max_part_header_bytes
    window, breaks = scanner.window, scanner.breaks
    wanted = 4096
    while True:
        window.hold(max(offset - 1, window.start), wanted + 1)
        begin = offset - window.base
        if begin < len(window.data) and window.data.startswith((breaks.end, b"\r\n"), begin):
            return b"", offset + (1 if window.data.startswith(breaks.end, begin) else 2)
        blank = breaks.blank_line.search(window.data, begin)
        cut = _delimiter_in_window(scanner, max(begin - 1, 0), blank.start() + 1 if blank else len(window.data))
        if cut is not None or blank is not None or window.reaches_end:
            break
        if wanted > limit:
            raise MessageTooComplex("bytes of header in one part", limit)
        wanted *= 4
    stop = cut.line_start if cut else window.base + blank.start() + 1 if blank else window.stop
    body = cut.line_start if cut else window.base + blank.end() if blank else window.stop
    block = window.data[begin : max(begin, stop - window.base)]
    if len(block) > limit:
        raise MessageTooComplex("bytes of header in one part", limit)
    scanner.header_bytes += len(block)
    if scanner.header_bytes > scanner.bounds.max_total_header_bytes:
        raise MessageTooComplex("bytes of header in all parts", scanner.bounds.max_total_header_bytes)
    return _without_body(block, offset, body, ended_by_blank=blank is not None and cut is None, end=breaks.end)


def _without_body(block: bytes, offset: int, body: int, *, ended_by_blank: bool, end: bytes) -> tuple[bytes, int]:
    """Takes back what is no header: a block that no blank line ends may have its body in it, at the first odd line."""
    if ended_by_blank and is_field_line(block):
        return block, body
    position = 0
    first = True
    while position < len(block):
        line = block[position : position + 200]
        folded = not first and line.startswith((b" ", b"\t"))
        if not folded and not is_field_line(line) and not (first and line.startswith((b"From ", b">From "))):
            return block[:position], offset + position
        following = block.find(end, position)
        position = len(block) if following < 0 else following + 1
        if first and ended_by_blank:
            return block, body
        first = False
    return block, body


def _open_if_multipart(scanner: _Scanner, part: Part) -> None:
    boundary = part.type_parameters.get("boundary", b"").rstrip() if part.is_multipart else b""
    if not boundary or len(boundary) > MAX_BOUNDARY_BYTES:
        return
    if len(scanner.open_parts) >= scanner.bounds.max_depth:
        raise MessageTooComplex("levels of nested multiparts", scanner.bounds.max_depth)
    scanner.open_boundaries.setdefault(boundary, []).append(len(scanner.open_parts))
    scanner.open_parts.append(part)
    scanner.boundaries.append(boundary)


def _close_down_to(scanner: _Scanner, count: int, line_start: int) -> None:
    while len(scanner.open_parts) > count:
        part = scanner.open_parts.pop()
        boundary = scanner.boundaries.pop()
        indexes = scanner.open_boundaries[boundary]
        indexes.pop()
        if not indexes:
            del scanner.open_boundaries[boundary]
        if part.body_stop < 0:
            part.body_stop = line_start


def _end_part(scanner: _Scanner, part: Part, delimiter: _Delimiter) -> None:
    """The line break before a delimiter belongs to the delimiter (RFC 2046 section 5.1.1)."""
    if part.body_stop >= 0 or part in scanner.open_parts[: delimiter.open_index + 1]:
        return
    stop = delimiter.line_start - 1
    before = stop - 1 - scanner.window.base
    if scanner.breaks is _LF and before >= 0 and scanner.window.data[before : before + 1] == b"\r":
        stop -= 1
    part.body_stop = max(stop, part.body_start)


def _next_delimiter(scanner: _Scanner, offset: int) -> _Delimiter | None:
    """The first delimiter line of any open multipart at or after `offset`, which begins a line."""
    window = scanner.window
    if not scanner.open_parts:
        return None
    # Two bytes of what goes before are held too: the line break, which belongs to the delimiter, may be CRLF.
    position = max(offset - 2, window.start)
    searched = max(offset - 1, window.start)
    while True:
        window.hold(position, _MAX_DELIMITER_BYTES * 4)
        found = _delimiter_in_window(scanner, searched - window.base, len(window.data))
        if found is not None:
            return found
        if window.reaches_end:
            return None
        searched = window.base + len(window.data) - _MAX_DELIMITER_BYTES * 2
        position = searched - 1


def _delimiter_in_window(scanner: _Scanner, begin: int, end: int) -> _Delimiter | None:
    window = scanner.window
    if not scanner.open_parts:
        return None
    for match in scanner.breaks.delimiter.finditer(window.data, begin, end):
        if match.end() == len(window.data) and not window.reaches_end:
            return None  # The line may go on: it is looked at again with what follows it.
        line = match[1].rstrip(b" \t\r")
        indexes = scanner.open_boundaries.get(line)
        closes = indexes is None and line.endswith(b"--")
        if closes:
            indexes = scanner.open_boundaries.get(line[:-2])
        if indexes:
            start = window.base + match.start() + 1
            return _Delimiter(start, min(window.base + match.end() + 1, window.stop), indexes[-1], closes)
    return None
