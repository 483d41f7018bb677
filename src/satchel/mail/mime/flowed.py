"""Puts the paragraphs of `format=flowed` text together again (RFC 3676)."""

import re

_LINE_END = re.compile("\r\n|\n|\r")
_SIGNATURE = "-- "


def unwrapped(text: str, *, joins_words: bool = False) -> str:
    """The text with each paragraph on one line, quoted ones with their marks before it.

    `joins_words`: the space at a line's end was put there by the sender and goes (`DelSp=yes`), as in languages that
    write without spaces.
    """
    lines: list[str] = []
    open_depth: int | None = None
    for line in _LINE_END.split(text):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        # Section 4.4: a space may be stuffed before what begins with one, with ">" or with "From ".
        content = content.removeprefix(" ")
        if open_depth == depth and content != _SIGNATURE:
            lines[-1] += content
        else:
            lines.append(f"{'>' * depth} {content}" if depth else content)
        flows = content.endswith(" ") and content != _SIGNATURE
        open_depth = depth if flows else None
        if flows and joins_words:
            lines[-1] = lines[-1][:-1]
    return "\n".join(lines)
