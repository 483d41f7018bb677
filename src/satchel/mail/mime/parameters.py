"""Reads `value; name=value` headers (RFC 2045 section 5.1) as real mailers write them; decodes nothing."""

import re
from dataclasses import dataclass

# Names after which a `;` was forgotten in real mail; an unquoted value ends before one of them.
_KNOWN = rb"(?:boundary|charset|name|filename|format|type|protocol|micalg|size)(?:\*\d{0,3}\*?)?"
_NAME = re.compile(rb"[;\s]*+([^\s;=\"]++)\s*+=\s*+")
_QUOTED = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:"|\\?\Z)', re.DOTALL)
_UNQUOTED = re.compile(rb"[^;\s]*+(?:\s++(?!" + _KNOWN + rb"\s*=)[^;\s]++)*+", re.IGNORECASE)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_TO_NEXT = re.compile(rb"[^;]*+(?:;|\Z)")
_VALUE = re.compile(rb"\s*+([^\s;(,]*+)")

MAX_PARAMETERS = 1_000
MAX_VALUE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ParameterisedValue:
    """A header's main value, lower case, and its parameters by lower-case name ("filename*0*" stays so)."""

    value: str
    parameters: dict[str, bytes]


def parse(raw: bytes) -> ParameterisedValue:
    """Reads any bytes. A parameter given twice keeps its first value; a quote that is never closed ends the header."""
    raw = raw[:MAX_VALUE_BYTES]
    match = _VALUE.match(raw)
    value = match[1] if match else b""
    position = len(match[0]) if match else 0
    if b"=" in value and not value.startswith(b"=?"):  # The main value was forgotten: `Content-Disposition: filename=x`
        value, position = b"", 0
    parameters: dict[str, bytes] = {}
    while position < len(raw) and len(parameters) < MAX_PARAMETERS:
        named = _NAME.match(raw, position)
        if named is None:
            skipped = _TO_NEXT.match(raw, position)
            following = skipped.end() if skipped else len(raw)
            position = _forgotten_separator(raw, position, following)
            continue
        content, position = _content(raw, named.end())
        parameters.setdefault(named[1].decode("latin-1").lower(), content)
    return ParameterisedValue(value.decode("latin-1").lower(), parameters)


def _content(raw: bytes, position: int) -> tuple[bytes, int]:
    quoted = _QUOTED.match(raw, position)
    if quoted is not None:
        return _ESCAPE.sub(rb"\1", quoted[1]), quoted.end()
    unquoted = _UNQUOTED.match(raw, position)
    if unquoted is None:
        return b"", len(raw)
    return unquoted[0].strip(), unquoted.end()


_FORGOTTEN = re.compile(rb"\s" + _KNOWN + rb"\s*=", re.IGNORECASE)


def _forgotten_separator(raw: bytes, position: int, following: int) -> int:
    """Where to read on after text that is no parameter: at a known name in it, else behind the next `;`."""
    known = _FORGOTTEN.search(raw, position + 1, following)
    return known.start() if known else following
