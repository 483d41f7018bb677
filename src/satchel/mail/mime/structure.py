"""Reads which attachments a message has: the tree of its parts, judged one by one."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

from satchel.contract.attachments import AttachmentType
from satchel.mail.mime import base64_body, classify, line_body, parameters
from satchel.mail.mime.bounds import DEFAULT_BOUNDS, Bounds, MessageTooComplex
from satchel.mail.mime.found import Encoding, FoundAttachment, MessageStructure
from satchel.mail.mime.headers import first_fields
from satchel.mail.mime.names import clean, given_name, made_up_name
from satchel.mail.mime.scan import Part, scan
from satchel.mail.mime.uuencoded import data_start, find_uuencoded
from satchel.mail.mime.window import Window, pread_all

# How much HTML is searched for the pictures that it shows; what only a longer text shows counts as a document.
_MAX_HTML_BYTES = 4 * 1024 * 1024
_MAX_STAND_IN_HEADER_BYTES = 16 * 1024


def read_structure(fd: int, start: int, stop: int, bounds: Bounds = DEFAULT_BOUNDS) -> MessageStructure:
    """The attachments of the message in a file's bytes `start` to `stop`, in the message's order.

    Reads only by `os.pread`, in bounded memory, so `fd` may be shared between threads. Takes any bytes. Raises
    `MessageTooComplex` when the message passes a bound, `OSError` when the file cannot be read.
    """
    window = Window(fd, start, stop)
    header, parts = scan(window, bounds)
    found: list[FoundAttachment] = []
    html: list[Part] = []
    for part in parts:
        name = classify.part_name(part)
        if classify.is_attachment(part, name):
            found.append(_found(window, fd, part, name))
        elif part.content_type == "text/html":
            html.append(part)
        elif part.content_type == "text/plain" and classify.encoding(part) is Encoding.IDENTITY:
            found.extend(_within_text(window, part))
        if len(found) > bounds.max_parts:
            raise MessageTooComplex("attachments", bounds.max_parts)
    return MessageStructure(header, tuple(_with_inline(fd, found, html)))


def _found(window: Window, fd: int, part: Part, name: str | None) -> FoundAttachment:
    kind = classify.kind(part)
    encoding = classify.encoding(part)
    start = part.body_start
    if encoding is Encoding.UUENCODE:
        begun_name, start = data_start(window, part.body_start, part.body_stop)
        name = name or (clean(begun_name) if begun_name else None)
    if name is None and kind is AttachmentType.REFERENCE:
        name = _stand_in_name(fd, part)
    path = part.path or "1"
    return FoundAttachment(
        path=path,
        name=name or made_up_name(path, part.content_type),
        content_type=part.content_type,
        kind=kind,
        encoding=encoding,
        start=start,
        stop=part.body_stop,
        content_id=classify.content_id(part),
        is_inline=False,
        fingerprint=_fingerprint(part, path, part.body_stop - part.body_start),
    )


def _within_text(window: Window, part: Part) -> Iterator[FoundAttachment]:
    blocks = find_uuencoded(window, part.body_start, part.body_stop)
    for number, block in enumerate(blocks, start=1):
        path = f"{part.path or '1'}.u{number}"
        yield FoundAttachment(
            path=path,
            name=clean(block.name).strip() or made_up_name(path, "application/octet-stream"),
            content_type="application/octet-stream",
            kind=AttachmentType.FILE,
            encoding=Encoding.UUENCODE,
            start=block.start,
            stop=block.stop,
            content_id=None,
            is_inline=False,
            fingerprint=_fingerprint(part, path, block.stop - block.start),
        )


def _fingerprint(part: Part, path: str, encoded_bytes: int) -> bytes:
    return sha256(part.header_digest + f"{path}\0{encoded_bytes}".encode()).digest()


def _stand_in_name(fd: int, part: Part) -> str | None:
    """The name in the header that a `message/external-body` has within its body (RFC 2046 section 5.2.3)."""
    length = min(part.body_stop - part.body_start, _MAX_STAND_IN_HEADER_BYTES)
    block = pread_all(fd, length, part.body_start)
    fields = first_fields(block, frozenset({"content-type", "content-disposition"}))
    disposition = parameters.parse(fields.get("content-disposition", b""))
    content_type = parameters.parse(fields.get("content-type", b""))
    return given_name(disposition.parameters, content_type.parameters, None)


def _with_inline(fd: int, found: list[FoundAttachment], html: list[Part]) -> list[FoundAttachment]:
    if not html or all(each.content_id is None for each in found):
        return found
    shown: set[str] = set()
    budget = _MAX_HTML_BYTES
    for part in html:
        body = pread_all(fd, min(budget, part.body_stop - part.body_start), part.body_start)
        budget -= len(body)
        shown |= classify.content_references(_decoded(classify.encoding(part), body))
    return [replace(each, is_inline=True) if each.content_id in shown else each for each in found]


def _decoded(encoding: Encoding, body: bytes) -> bytes:
    if encoding is Encoding.BASE64:
        return base64_body.decode_block(body)
    return line_body.decode_quoted_printable(body) if encoding is Encoding.QUOTED_PRINTABLE else body
