"""Ranges and validators of a download, parsed and built without I/O (RFC 9110 sections 8.8, 13 and 14)."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"\s*(\d*)\s*-\s*(\d*)\s*")
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")
_ENTITY_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
# Longer digit strings are no file's offset, and int() refuses very long ones.
_MAX_DIGITS = 18


class RangeNotSatisfiable(ValueError):
    """The range lies wholly behind the end: HTTP 416."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` (included) to `stop` (excluded)."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The single range that a `Range` header asks of `size` bytes; None where the whole is to be sent.

    Several ranges, other units and malformed headers answer the whole, as RFC 9110 section 14.2 allows.
    Raises RangeNotSatisfiable.
    """
    unit, _, spec = (header or "").partition("=")
    match = _RANGE.fullmatch(spec)
    if unit.strip().lower() != "bytes" or match is None or max(len(match[1]), len(match[2])) > _MAX_DIGITS:
        return None
    first, last = match[1], match[2]
    if not first:
        return _suffix(last, size)
    if last and int(last) < int(first):
        return None
    start = int(first)
    if start >= size:
        raise RangeNotSatisfiable
    return ByteRange(start, min(int(last) + 1, size) if last else size)


def _suffix(last: str, size: int) -> ByteRange | None:
    if not last:
        return None
    if int(last) == 0 or size == 0:
        raise RangeNotSatisfiable
    return ByteRange(max(0, size - int(last)), size)


def parse_content_range(header: str | None) -> tuple[ByteRange | None, int | None]:
    """The range and the whole size that a `Content-Range` states; None for what it does not state.

    One that contradicts itself states nothing (RFC 9110 section 14.4).
    """
    match = _CONTENT_RANGE.fullmatch((header or "").strip())
    if match is None:
        return None, None
    size = None if match[3] == "*" else int(match[3])
    if match[1] is None:
        return None, size
    stated = ByteRange(int(match[1]), int(match[2]) + 1)
    if stated.length <= 0 or (size is not None and stated.stop > size):
        return None, None
    return stated, size


def quote_etag(tag: str) -> str:
    return f'"{tag}"'


def unquote_etag(header: str | None) -> str | None:
    """A strong entity tag without its quotes; None for a weak one or none."""
    match = _ENTITY_TAG.fullmatch((header or "").strip())
    return match[2] if match and not match[1] else None


def if_match(header: str | None, tag: str | None) -> bool:
    """Whether the call may go on under `If-Match` (strong comparison, RFC 9110 section 13.1.1); if not, 412."""
    if header is None or header.strip() == "*":
        return True
    return any(match[2] == tag and not match[1] for match in _ENTITY_TAG.finditer(header))


def if_none_match(header: str | None, tag: str) -> bool:
    """Whether `If-None-Match` names the tag (weak comparison, RFC 9110 section 13.1.2): then the answer is 304."""
    if header is None:
        return False
    return header.strip() == "*" or any(match[2] == tag for match in _ENTITY_TAG.finditer(header))


def if_range(header: str | None, tag: str) -> bool:
    """Whether a range may be served under `If-Range` (strong comparison; a date never matches)."""
    return header is None or unquote_etag(header) == tag
