"""Finds the fields of a raw header block (RFC 5322 section 2.2); forgives lines that are no fields."""

import re
from collections.abc import Mapping

# A field name, its colon, and the value with its folded lines. Possessive, so that a hostile block costs linear time.
_FIELD_LF = re.compile(rb"^([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.MULTILINE)
_BARE_CR = re.compile(rb"\r(?!\n)")
_FOLD = re.compile(rb"\r?\n")
_FIELD_LINE = re.compile(rb"[!-9;-~]++[ \t]*+:")


def normalised(block: bytes) -> bytes:
    """The block with line feeds where its lines end in bare carriage returns (old Macintosh mail)."""
    return block if b"\n" in block else _BARE_CR.sub(b"\n", block)


def first_fields(block: bytes, wanted: frozenset[str]) -> Mapping[str, bytes]:
    """The first value of each wanted field (lower-case names), unfolded and stripped, still undecoded.

    The first of a repeated field counts, as in most readers: what is added later on the way is the less trustworthy.
    """
    found: dict[str, bytes] = {}
    for match in _FIELD_LF.finditer(normalised(block)):
        name = match[1].decode("ascii").lower()
        if name in wanted and name not in found:
            found[name] = _FOLD.sub(b"", match[2]).strip()
    return found


def is_field_line(line: bytes) -> bool:
    """Whether a line starts a header field."""
    return _FIELD_LINE.match(line) is not None
