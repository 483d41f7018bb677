"""Which parts of a message are its text, and how much of them is read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from satchel.mail.mime import Bounds, MessageTooComplex, read_text
from satchel.mail.mime.bounds import DEFAULT_BOUNDS
from satchel.mail.mime.charsets import decode_body
from satchel.mail.mime.flowed import unwrapped

Read = Callable[..., str | None]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(mail: bytes, max_characters: int = 100_000, bounds: Bounds = DEFAULT_BOUNDS) -> str | None:
        path = tmp_path / "message"
        # A message of an mbox has others around it.
        path.write_bytes(b"before\r\n" + mail + b"\r\nafter")
        fd = os.open(path, os.O_RDONLY)
        try:
            return read_text(fd, 8, 8 + len(mail), max_characters, bounds)
        finally:
            os.close(fd)

    return read


def tree(subtype: str, *parts: bytes, boundary: bytes = b"b") -> bytes:
    header = b"Content-Type: multipart/%s; boundary=%s\r\n\r\n" % (subtype.encode(), boundary)
    return header + b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts) + b"--%s--\r\n" % boundary


def part(text: bytes, content_type: bytes = b"text/plain", *fields: bytes) -> bytes:
    return b"\r\n".join([b"Content-Type: " + content_type, *fields, b"", text])


PLAIN, HTML = part(b"plain"), part(b"<p>html", b"text/html")
PICTURE = part(b"xx", b"image/png")


@pytest.mark.parametrize(
    ("mail", "text"),
    [
        (b"plain", "plain"),
        (tree("alternative", PLAIN, HTML), "plain"),
        (tree("alternative", HTML, PLAIN), "plain"),
        (tree("alternative", part(b" \r\n"), HTML), "html"),
        (tree("alternative", tree("related", HTML, PICTURE, boundary=b"c"), boundary=b"b"), "html"),
        (tree("alternative", PLAIN, tree("mixed", HTML, PICTURE, HTML, boundary=b"c")), "plain"),
        (tree("mixed", tree("alternative", PLAIN, HTML, boundary=b"c"), part(b"footer")), "plain\n\nfooter"),
        (tree("mixed", PLAIN, PICTURE, part(b"more")), "plain\n\nmore"),
        (tree("mixed", PICTURE, part(b"after")), "after"),
        (tree("mixed", part(b"a file", b"text/plain", b"Content-Disposition: attachment")), None),
        (tree("mixed", PLAIN, part(b"a file", b"text/plain; name=x.txt")), "plain"),
        (tree("mixed", PLAIN, part(b"Subject: s\r\n\r\ninner", b"message/rfc822")), "plain"),
        (part(b"Subject: s\r\n\r\ninner", b"message/rfc822"), None),
        (part(b"%PDF", b"application/pdf"), None),
        (part(b"BEGIN:VCALENDAR", b"text/calendar"), None),
        (tree("mixed"), None),
        (part(b"\xc3\xa9 <b>x", b"text/html"), "é x"),
        (part(b"<meta charset=koi8-r><p>\xf3\xde\xa3\xd4", b"text/html"), "Счёт"),
        (part(b"cGxhaW4", b"text/plain", b"Content-Transfer-Encoding: base64"), "plain"),
        (part(b"a=20\r\nb", b"text/plain; format=flowed", b"Content-Transfer-Encoding: quoted-printable"), "a b"),
        (part(b"one\rtwo\r", b"text/plain"), "one\ntwo"),
        (part(b"\xef\xbb\xbfmarked"), "marked"),
        (part(b"Caf\xe9", b"text/plain; charset=us-ascii"), "Café"),
    ],
)
def test_text(read: Read, mail: bytes, text: str | None) -> None:
    assert read(mail) == text


def test_files_within_the_text_are_attachments(read: Read) -> None:
    block = b"begin 644 cat.txt\r\n#0V%T\r\n`\r\nend\r\n"
    assert read(b"\r\nbefore\r\n" + block + b"between\r\n" + block + b"after\r\n") == "before\n\nbetween\n\nafter"


def test_of_a_large_part_only_the_beginning_is_read(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    read_bytes = 0
    pread = os.pread

    def counted(fd: int, length: int, offset: int) -> bytes:
        nonlocal read_bytes
        data = pread(fd, length, offset)
        read_bytes += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)
    mail = tree("mixed", part(b"text " * 8_000_000), PICTURE)
    assert read(mail, 1_000) == ("text " * 1_000)[:1_000]
    assert read_bytes < 12_000_000


def test_what_stands_behind_large_attachments_is_left_out(read: Read) -> None:
    attachment = part(b"x" * 76 + b"\r\n", b"application/pdf")
    large = part((b"x" * 76 + b"\r\n") * 120_000, b"application/pdf")
    assert read(tree("mixed", PLAIN, attachment, part(b"behind"))) == "plain\n\nbehind"
    assert read(tree("mixed", PLAIN, large, part(b"behind"))) == "plain"


def test_many_parts_of_html_cost_no_more_than_a_large_one(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    laid_out: list[str] = []
    monkeypatch.setattr("satchel.mail.mime.text.html_text", lambda html: laid_out.append(html) or "")
    assert read(tree("mixed", *[part(b"<br>" * 15_000, b"text/html")] * 40, part(b"plain"))) == "plain"
    assert len(laid_out) == 3
    laid_out.clear()
    read(tree("mixed", *[part(b"<p>a</p>", b"text/html")] * 40))
    assert len(laid_out) == 40


def test_a_message_beyond_the_bounds(read: Read) -> None:
    with pytest.raises(MessageTooComplex):
        read(tree("mixed", *[PLAIN] * 4), bounds=Bounds(max_parts=4))


@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp", "utf-16", "gb18030", "shift_jis"])
def test_text_that_is_cut_ends_before_the_cut(charset: str) -> None:
    raw = "日本".encode(charset)
    stop = (
        raw.index("日本".encode(charset)[-1:])
        if charset == "utf-8"
        else len(raw) - (4 if charset == "iso-2022-jp" else 1)
    )
    assert decode_body(raw[:stop], charset, is_cut=True) == "日"


@pytest.mark.parametrize(
    ("raw", "charset", "text"),
    [
        ("aä".encode("cp1252"), "us-ascii", "aä"),
        ("aä".encode("cp1252"), None, "aä"),
        (b"\x1b$BF|\x7f\x7fK\\\x1b(B!", "iso-2022-jp", "日�本!"),
        ("Grüße, Grüße".encode() + b"\xff", "utf-8", "Grüße, Grüße�"),
        ("日本語".encode()[:-1], "utf-8", "日本�"),
        ("日本".encode(), "us-ascii", "日本"),
        (b"\x81", "no-such", "�"),
        (b"plain words", "utf-16", "plain words"),
        (b"plain words", "UTF-32LE", "plain words"),
        ("wide".encode("utf-16-le"), "utf-16le", "wide"),
    ],
)
def test_damaged_text(raw: bytes, charset: str | None, text: str) -> None:
    assert decode_body(raw, charset) == text


@pytest.mark.parametrize(
    ("flowed", "text"),
    [
        ("one \r\ntwo\r\nthree", "one two\nthree"),
        ("> quoted \n> on\nown", "> quoted on\nown"),
        ("> quoted \nown", "> quoted \nown"),
        (">> a \n>> b\n> c", ">> a b\n> c"),
        (" From here\n >no quote", "From here\n>no quote"),
        ("text\n-- \nname", "text\n-- \nname"),
        ("text \n-- \nname", "text \n-- \nname"),
        ("", ""),
    ],
)
def test_flowed_paragraphs(flowed: str, text: str) -> None:
    assert unwrapped(flowed) == text


def test_a_paragraph_of_any_number_of_lines() -> None:
    assert unwrapped("x \r\n" * 1_000_000) == "x " * 1_000_000


def test_words_that_were_torn_apart_are_joined() -> None:
    assert unwrapped("日 \r\n本", joins_words=True) == "日本"
