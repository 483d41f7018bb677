"""Reads what a message says: its text and its HTML, and which parts call themselves inline."""

from dataclasses import dataclass

from satchel.mail.mime import base64_body, classify, line_body
from satchel.mail.mime.bounds import DEFAULT_BOUNDS
from satchel.mail.mime.charsets import decode_text
from satchel.mail.mime.found import Encoding
from satchel.mail.mime.scan import Part, scan
from satchel.mail.mime.window import Window, pread_all

_MAX_TEXT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Texts:
    """The first text and the first HTML of a message, "" where there is none; longer ones are cut.

    `marked_inline` are the paths of parts whose own Content-Disposition says `inline`, as Apple Mail sends PDFs.
    """

    plain: str
    html: str
    marked_inline: frozenset[str]


def read_texts(fd: int, size: int) -> Texts:
    """The texts of the message in a file. Raises `MessageTooComplex`, `OSError`."""
    found: dict[str, str] = {}
    marked: set[str] = set()
    _, parts = scan(Window(fd, 0, size), DEFAULT_BOUNDS)
    for part in parts:
        if classify.is_attachment(part, classify.part_name(part)):
            if part.disposition.value == "inline":
                marked.add(part.path or "1")
        elif part.content_type in {"text/plain", "text/html"} and part.content_type not in found:
            found[part.content_type] = _text(fd, part)
    return Texts(found.get("text/plain", ""), found.get("text/html", ""), frozenset(marked))


def _text(fd: int, part: Part) -> str:
    body = pread_all(fd, min(_MAX_TEXT_BYTES, part.body_stop - part.body_start), part.body_start)
    encoding = classify.encoding(part)
    if encoding is Encoding.BASE64:
        body = base64_body.decode_block(body)
    elif encoding is Encoding.QUOTED_PRINTABLE:
        body = line_body.decode_quoted_printable(body)
    charset = part.type_parameters.get("charset")
    return decode_text(body, decode_text(charset) if charset else None)
