"""Sample mail and its delivery, for tests, the demo and benchmarks: every message knows what must come out of it.

Messages are written piece by piece, so that attachments of several GB cost no memory.
"""

import io
import secrets
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

import pybase64

from satchel.contract.attachments import AttachmentType
from satchel.testing.content import Content, Generated, Given, sha256

# A multiple of 57, the bytes in a base64 line of 76 characters.
_BLOCK_BYTES = 57 * 8192
_DEFAULT_LARGE_BYTES = 25 * 1024 * 1024

Writer = Callable[[BinaryIO], None]


@dataclass(frozen=True, slots=True)
class ExpectedAttachment:
    """What a list of the message's attachments must say. `sha256` is hexadecimal, of the decoded bytes."""

    name: str
    content_type: str
    size: int
    sha256: str
    attachment_type: AttachmentType = AttachmentType.FILE
    is_inline: bool = False


class Part(Protocol):
    """A node of a message's MIME tree."""

    @property
    def expected(self) -> tuple[ExpectedAttachment, ...]: ...

    def write(self, target: BinaryIO) -> None:
        """The part with its header."""
        ...


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part with content, in base64 or as it stands."""

    header: Sequence[str]
    content: Content
    expected: tuple[ExpectedAttachment, ...] = ()
    is_base64: bool = True

    def write(self, target: BinaryIO) -> None:
        encoding = ["Content-Transfer-Encoding: base64"] if self.is_base64 else []
        _write_header(target, [*self.header, *encoding])
        if self.is_base64:
            for start in range(0, self.content.size, _BLOCK_BYTES):
                block = b"".join(self.content.pieces(start, min(start + _BLOCK_BYTES, self.content.size)))
                target.write(pybase64.encodebytes(block).replace(b"\n", b"\r\n"))
        else:
            target.writelines(self.content.pieces(0, self.content.size))


@dataclass(frozen=True, slots=True)
class Multipart:
    """Parts within a boundary that has the label in it: a multipart within another needs another label."""

    label: str
    subtype: str
    parts: Sequence[Part]

    @property
    def expected(self) -> tuple[ExpectedAttachment, ...]:
        return tuple(each for part in self.parts for each in part.expected)

    def write(self, target: BinaryIO) -> None:
        # "=_" is in no base64 line.
        boundary = f"=_{self.label}"
        _write_header(target, [f'Content-Type: multipart/{self.subtype}; boundary="{boundary}"'])
        for part in self.parts:
            target.write(f"\r\n--{boundary}\r\n".encode("ascii"))
            part.write(target)
        target.write(f"\r\n--{boundary}--\r\n".encode("ascii"))


@dataclass(frozen=True, slots=True)
class SampleMessage:
    """A message: a name for people, its subject, and its MIME tree."""

    name: str
    subject: str
    body: Part
    sender: str = "Ann Sender <ann@supplier.example>"
    recipient: str = "invoices@example.com"
    date: str = "Mon, 02 Jun 2025 09:30:00 +0000"

    @property
    def expected(self) -> tuple[ExpectedAttachment, ...]:
        """The attachments, in the message's order."""
        return self.body.expected

    @property
    def internet_message_id(self) -> str:
        return f"<{self.name}@supplier.example>"

    def write(self, target: BinaryIO) -> None:
        """The whole message, as it travels: lines end in CRLF."""
        lines = [
            f"From: {self.sender}",
            f"To: {self.recipient}",
            f"Subject: {_encoded_word(self.subject)}",
            f"Date: {self.date}",
            f"Message-ID: {self.internet_message_id}",
            "MIME-Version: 1.0",
        ]
        target.write("".join(f"{line}\r\n" for line in lines).encode("ascii"))
        self.body.write(target)

    def to_bytes(self) -> bytes:
        """For small messages: `write` into memory."""
        target = io.BytesIO()
        self.write(target)
        return target.getvalue()


def sample_messages(large_bytes: int = _DEFAULT_LARGE_BYTES) -> list[SampleMessage]:
    """One message of each kind that the demo shows, the last with a file of `large_bytes`."""
    return [
        message("invoice", "Invoice 2025-0042", [file_part("invoice.pdf", "application/pdf", tiny_pdf("Invoice"))]),
        message_with_picture(),
        message_with_message(),
        message_with_link(),
        message("japanese", "六月分の請求書", [file_part("請求書.pdf", "application/pdf", tiny_pdf("Seikyusho"))]),
        large_message(large_bytes, name="large", file_name="archive.zip", content_type="application/zip"),
    ]


def message(name: str, subject: str, attachments: Sequence[Part], text: str = "Hello.\r\n") -> SampleMessage:
    """A text and some attachments."""
    return SampleMessage(name, subject, Multipart(name, "mixed", [text_part(text), *attachments]))


def message_with_files(number: int, files: int, size: int) -> SampleMessage:
    """A numbered message of `files` binary files of `size` bytes, every one different from all others."""
    parts = [
        file_part(f"file-{number}-{index}.bin", "application/octet-stream", Generated(size, number * 1_000 + index))
        for index in range(files)
    ]
    return message(f"files-{number}", f"Files {number}", parts)


def large_message(
    size: int,
    seed: int = 0,
    *,
    name: str = "large",
    file_name: str = "large.bin",
    content_type: str = "application/octet-stream",
) -> SampleMessage:
    """A message with one generated file of `size` bytes, whose digest takes about a second per GiB to know."""
    return message(name, f"A file of {size} bytes", [file_part(file_name, content_type, Generated(size, seed))])


def message_with_picture() -> SampleMessage:
    """An HTML text that shows a picture which the message carries (RFC 2392)."""
    picture = tiny_png()
    header = [
        'Content-Type: image/png; name="logo.png"',
        'Content-Disposition: inline; filename="logo.png"',
        "Content-ID: <logo@supplier.example>",
    ]
    expected = ExpectedAttachment("logo.png", "image/png", picture.size, sha256(picture), is_inline=True)
    html = text_part('<p>News <img src="cid:logo@supplier.example"></p>\r\n', "html")
    body = Multipart("picture", "related", [html, Leaf(header, picture, (expected,))])
    return SampleMessage("picture", "News with a picture", body)


def message_with_message() -> SampleMessage:
    """A message with another one in it, which has an attachment of its own."""
    inner = message("inner", "The original", [file_part("terms.pdf", "application/pdf", tiny_pdf("Terms"))])
    content = Given(inner.to_bytes())
    expected = ExpectedAttachment("original.eml", "message/rfc822", content.size, sha256(content), AttachmentType.ITEM)
    header = ["Content-Type: message/rfc822", 'Content-Disposition: attachment; filename="original.eml"']
    return message("forwarded", "Fwd: The original", [Leaf(header, content, (expected,), is_base64=False)])


def message_with_link() -> SampleMessage:
    """A link to a file that lies elsewhere (RFC 2017)."""
    content = Given(b"Content-Type: application/pdf\r\n\r\n")
    expected = ExpectedAttachment(
        "contract.pdf", "message/external-body", content.size, sha256(content), AttachmentType.REFERENCE
    )
    url = "https://files.supplier.example/contract.pdf"
    header = [
        f'Content-Type: message/external-body; access-type=URL; URL="{url}"; name="contract.pdf"',
        'Content-Disposition: attachment; filename="contract.pdf"',
    ]
    return message("link", "The contract is in the cloud", [Leaf(header, content, (expected,), is_base64=False)])


def text_part(text: str, subtype: str = "plain") -> Leaf:
    """A body text; its lines end in CRLF."""
    header = [f"Content-Type: text/{subtype}; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
    return Leaf(header, Given(text.encode()), is_base64=False)


def file_part(name: str, content_type: str, content: Content) -> Leaf:
    """A file under its name, which may have any characters (RFC 2231)."""
    if name.isascii() and name.isprintable():
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        parameter = f'filename="{escaped}"'
    else:
        parameter = f"filename*=UTF-8''{quote(name, safe='')}"
    header = [f"Content-Type: {content_type}", f"Content-Disposition: attachment; {parameter}"]
    return Leaf(header, content, (ExpectedAttachment(name, content_type, content.size, sha256(content)),))


def tiny_pdf(text: str) -> Given:
    """A valid PDF of one page that shows an ASCII text."""
    shown = text.replace("\\", "").replace("(", "").replace(")", "").encode("ascii")
    drawing = b"BT /F1 24 Tf 72 720 Td (" + shown + b") Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, start)
    return Given(bytes(out))


def tiny_png() -> Given:
    """A valid picture of 2 by 2 pixels."""
    header = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)
    pixels = zlib.compress(2 * (b"\0" + b"\x20\x60\xa0" * 2))
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return Given(b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in chunks))


def deliver(maildir: Path, mail: bytes | SampleMessage | Writer) -> Path:
    """Deliver into a Maildir, which is made if there is none: written in `tmp/`, then moved to `new/` in one step."""
    for part in ("tmp", "new", "cur"):
        (maildir / part).mkdir(parents=True, exist_ok=True)
    name = f"{time.time_ns() // 1_000_000_000}.R{secrets.token_hex(12)}.satchel"
    with (maildir / "tmp" / name).open("xb") as target:
        if isinstance(mail, bytes):
            target.write(mail)
        elif isinstance(mail, SampleMessage):
            mail.write(target)
        else:
            mail(target)
    return (maildir / "tmp" / name).rename(maildir / "new" / name)


def _write_header(target: BinaryIO, lines: Sequence[str]) -> None:
    target.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())


def _encoded_word(text: str) -> str:
    """RFC 2047, for a text that is short enough for one."""
    return text if text.isascii() else f"=?UTF-8?B?{pybase64.b64encode_as_string(text.encode())}?="


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
