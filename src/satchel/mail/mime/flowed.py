"""Puts the paragraphs of `format=flowed` text together again (RFC 3676)."""

import re

_LINE_END = re.compile("\r\n|\n|\r")
_SIGNATURE = "-- "


def unwrapped(text: str, *, joins_words: bool = False) -> str:
    """The text with each paragraph on one line, quoted ones with their marks before it.

    `joins_words`: the space at a line's end was put there by the sender and goes (`DelSp=yes`), as in languages that
    write without spaces.
    """
    # Pieces, since a paragraph may have any number of lines.
    pieces: list[str] = []
    open_depth: int | None = None
    for line in _LINE_END.split(text):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        # Section 4.4: a space may be stuffed before what begins with one, with ">" or with "From ".
        content = content.removeprefix(" ")
        is_signature = content == _SIGNATURE
        if open_depth != depth or is_signature:
            pieces.append("\n" if pieces else "")
            pieces.append(f"{'>' * depth} " if depth else "")
        flows = content.endswith(" ") and not is_signature
        pieces.append(content[:-1] if flows and joins_words else content)
        open_depth = depth if flows else None
    return "".join(pieces)
