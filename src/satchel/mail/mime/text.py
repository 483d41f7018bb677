"""Reads what a message says as its body: plain text where there is any, else the text of its HTML.

Only the beginning of the message is looked at, and only so much of a part as is asked for, however large they are.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from satchel.mail.body_text import html_text, tidied
from satchel.mail.mime import base64_body, classify, line_body
from satchel.mail.mime.bounds import DEFAULT_BOUNDS, Bounds
from satchel.mail.mime.charsets import decode_body, decode_text
from satchel.mail.mime.flowed import unwrapped
from satchel.mail.mime.found import Encoding
from satchel.mail.mime.scan import Part, scan
from satchel.mail.mime.uuencoded import data_start, find_uuencoded
from satchel.mail.mime.window import Window, pread_all

# A body stands before the attachments; what stands behind so much of them is an afterthought.
_LOOKED_AT_BYTES = 8 * 1024 * 1024
# HTML is more mark-up than text, with pictures in it.
_MOST_HTML_BYTES = 4 * 1024 * 1024
_MOST_PARTS = 50
# Laying HTML out costs by the element, so many small parts would cost what one large one may not.
_MOST_TAGS = 40_000
# UTF-8 needs four bytes for a character, and quoted-printable three for a byte.
_BYTES_FOR_A_CHARACTER = 12
_META_CHARSET = re.compile(rb"<meta[^>]{1,200}charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_META_WITHIN_BYTES = 2048


@dataclass(slots=True)
class _Beginning:
    """As much of a message as is looked at."""

    fd: int
    window: Window
    is_cut: bool
    tags_left: int = _MOST_TAGS


def read_text(fd: int, start: int, stop: int, max_characters: int, bounds: Bounds = DEFAULT_BOUNDS) -> str | None:
    """The text of the message in a file's bytes `start` to `stop`, of a long one the beginning; None without any.

    Lines end in LF, paragraphs of `format=flowed` are one line. Takes any bytes. Blocks on the disk and on the
    processor. Raises `MessageTooComplex` when the message passes a bound, `OSError` when the file cannot be read.
    """
    looked_at = min(stop, start + _LOOKED_AT_BYTES)
    beginning = _Beginning(fd, Window(fd, start, looked_at), looked_at < stop)
    _, parts = scan(beginning.window, bounds)
    pieces: list[str] = []
    wanted = max_characters
    for versions in _body(parts):
        text = _first_that_says_anything(beginning, versions, wanted)
        if text:
            pieces.append(text)
            wanted -= len(text)
        if wanted <= 0:
            break
    return "\n\n".join(pieces)[:max_characters] or None


def _body(parts: Sequence[Part]) -> Iterator[Sequence[Sequence[Part]]]:
    """What follows one another in the body (RFC 8621 section 4.1.4), each in versions of which one is to be read, the
    plain one first."""
    versions: dict[int, list[Part]] = {}
    for part in parts:
        if part.is_multipart or classify.is_attachment(part, classify.part_name(part)):
            continue
        choice = _choice(part) or part
        versions.setdefault(id(choice), []).append(part)
    for of_one in list(versions.values())[:_MOST_PARTS]:
        plain = [part for part in of_one if part.content_type == "text/plain"]
        yield plain, [part for part in of_one if part.content_type == "text/html"]


def _choice(part: Part) -> Part | None:
    """The outermost container of which only one version is to be read."""
    found = None
    above = part.parent
    while above is not None:
        if above.content_type == "multipart/alternative":
            found = above
        above = above.parent
    return found


def _first_that_says_anything(
    beginning: _Beginning, versions: Sequence[Sequence[Part]], max_characters: int
) -> str | None:
    for version in versions:
        texts = [tidied(_text(beginning, part, max_characters)) for part in version[:_MOST_PARTS]]
        text = "\n\n".join(filter(None, texts))
        if text:
            return text
    return None


def _text(beginning: _Beginning, part: Part, max_characters: int) -> str:
    is_html = part.content_type == "text/html"
    max_bytes = _MOST_HTML_BYTES if is_html else (max_characters + 1) * _BYTES_FOR_A_CHARACTER
    raw = _decoded(beginning.window, beginning.fd, part, max_bytes)
    is_cut = part.body_stop - part.body_start > max_bytes or beginning.is_cut
    if is_html:
        if beginning.tags_left <= 0:
            return ""
        beginning.tags_left -= raw.count(b"<")
        return html_text(decode_body(raw, _charset(part) or _meta_charset(raw), is_cut=is_cut))
    text = decode_body(raw, _charset(part), is_cut=is_cut)
    if part.type_parameters.get("format", b"").strip().lower() == b"flowed":
        return unwrapped(text, joins_words=part.type_parameters.get("delsp", b"").strip().lower() == b"yes")
    return text


def _decoded(window: Window, fd: int, part: Part, max_bytes: int) -> bytes:
    """The beginning of a part's content, about a third of `max_bytes` at the least."""
    encoding = classify.encoding(part)
    begin = part.body_start
    if encoding is Encoding.UUENCODE:
        _, begin = data_start(window, begin, part.body_stop)
    stop = min(part.body_stop, begin + max_bytes)
    if encoding is Encoding.IDENTITY and part.content_type == "text/plain":
        return _without_uuencoded(window, fd, begin, stop)
    body = pread_all(fd, stop - begin, begin)
    if encoding is Encoding.BASE64:
        return base64_body.decode_block(body)
    if encoding is Encoding.QUOTED_PRINTABLE:
        return line_body.decode_quoted_printable(body)
    return line_body.decode_uuencoded(body) if encoding is Encoding.UUENCODE else body


def _without_uuencoded(window: Window, fd: int, begin: int, stop: int) -> bytes:
    """Files that stand within the text are attachments, and no part of it."""
    pieces: list[bytes] = []
    position = begin
    for block in find_uuencoded(window, begin, stop):
        before = pread_all(fd, block.start - position, position)
        pieces.append(before[: max(before.rfind(b"begin "), 0)])
        position = block.stop + len(b"end")
    pieces.append(pread_all(fd, max(stop - position, 0), position))
    return b"".join(pieces)


def _charset(part: Part) -> str | None:
    label = part.type_parameters.get("charset")
    return decode_text(label) if label else None


def _meta_charset(html: bytes) -> str | None:
    found = _META_CHARSET.search(html, 0, _META_WITHIN_BYTES)
    return found[1].decode("ascii") if found else None
