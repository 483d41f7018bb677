"""What every `MailSource` promises about the text of messages."""

import pytest

from satchel.mail.source import MailSource, MessageNotFound, MessageRef
from satchel.testing.content import Given
from satchel.testing.mail import (
    Leaf,
    Multipart,
    SampleMessage,
    file_part,
    message,
    message_with_message,
    message_with_picture,
    text_part,
)
from tests.contracts.offices import MAILBOX, PostOffice
from tests.contracts.test_mail_source import office, only, source

__all__ = ["office", "source"]

LONG = 100_000


def plain(charset: str, text: str, *, encoding: str = "8bit", codec: str | None = None) -> bytes:
    header = f"Subject: x\r\nContent-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n"
    return header.encode() + b"\r\n" + text.encode(codec or charset) + b"\r\n"


def with_parts(*parts: Leaf | Multipart, subtype: str = "mixed") -> bytes:
    return SampleMessage("parts", "Parts", Multipart("outer", subtype, parts)).to_bytes()


async def text_of(office: PostOffice, source: MailSource, mail: bytes, max_characters: int = LONG) -> str | None:
    office.deliver(MAILBOX, mail)
    return await source.text(await only(source), max_characters)


def squeezed(text: str | None) -> list[str]:
    """Its words: how HTML is laid out is each mail server's own matter."""
    assert text is not None
    return text.split()


async def test_plain_text_with_line_feeds(office: PostOffice, source: MailSource) -> None:
    text = "Dear all,\r\n\r\n  the invoice is attached. \r\n\r\n"
    pdf = file_part("invoice.pdf", "application/pdf", Given(b"%PDF"))
    assert (
        await text_of(office, source, message("plain", "Plain", [pdf], text).to_bytes())
        == "Dear all,\n\n  the invoice is attached."
    )


async def test_a_message_without_text_has_none(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, with_parts(file_part("a.pdf", "application/pdf", Given(b"%PDF"))))
    assert await source.text(await only(source), LONG) is None


@pytest.mark.parametrize(
    "mail", [b"", b"Subject: x\r\n\r\n", plain("utf-8", " \r\n\t\r\n")], ids=["0", "header", "blank"]
)
async def test_an_empty_message_has_none(office: PostOffice, source: MailSource, mail: bytes) -> None:
    assert await text_of(office, source, mail) is None


async def test_plain_text_is_preferred_to_html(office: PostOffice, source: MailSource) -> None:
    both = Multipart("both", "alternative", [text_part("As text.\r\n"), text_part("<p>As HTML.</p>\r\n", "html")])
    assert await text_of(office, source, with_parts(both)) == "As text."


async def test_html_becomes_text(office: PostOffice, source: MailSource) -> None:
    html = (
        "<html><head><title>no</title><style>p { color: red }</style></head><body><script>alert('no')</script>"
        "<p>Betrag: 12&nbsp;&euro; &lt;netto&gt;</p><img src='https://tracker.example/x.gif'></body></html>\r\n"
    )
    mail = SampleMessage("html", "HTML", text_part(html, "html")).to_bytes()
    assert squeezed(await text_of(office, source, mail)) == ["Betrag:", "12", "€", "<netto>"]


async def test_html_with_a_picture_in_it(office: PostOffice, source: MailSource) -> None:
    assert squeezed(await text_of(office, source, message_with_picture().to_bytes())) == ["News"]


async def test_a_message_within_the_message_is_no_text_of_it(office: PostOffice, source: MailSource) -> None:
    assert await text_of(office, source, message_with_message().to_bytes()) == "Hello."


async def test_a_text_file_is_an_attachment(office: PostOffice, source: MailSource) -> None:
    log = file_part("error.log", "text/plain", Given(b"a log"))
    assert await text_of(office, source, message("log", "Log", [log], "See the log.\r\n").to_bytes()) == "See the log."


@pytest.mark.parametrize(
    "mail",
    [
        plain("iso-2022-jp", "請求書を添付します。"),
        plain("koi8-r", "Счёт во вложении."),
        plain("windows-1252", "Rückläufer – 3 €"),
        plain("iso-8859-1", "Rückläufer – 3 €", codec="windows-1252"),
        plain("gb2312", "發票 和 发票", codec="gb18030"),
    ],
    ids=["iso-2022-jp", "koi8-r", "windows-1252", "mislabelled", "gb2312"],
)
async def test_charsets(office: PostOffice, source: MailSource, mail: bytes) -> None:
    text = await text_of(office, source, mail)
    assert text in {"請求書を添付します。", "Счёт во вложении.", "Rückläufer – 3 €", "發票 和 发票"}


async def test_transfer_encodings(office: PostOffice, source: MailSource) -> None:
    header = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
    mail = header + b"quoted-printable\r\n\r\nGr=C3=BC=\r\n=C3=9Fe\r\n"
    assert await text_of(office, source, mail) == "Grüße"
    office.burn(MAILBOX)
    assert await text_of(office, source, header + b"base64\r\n\r\nR3LDvMOfZQ==\r\n") == "Grüße"


@pytest.mark.parametrize("max_characters", [1, 5, 1_000])
async def test_of_a_long_text_the_beginning(office: PostOffice, source: MailSource, max_characters: int) -> None:
    long = "äöü日" * 20_000
    text = await text_of(office, source, message("long", "Long", [], long).to_bytes(), max_characters)
    assert text == long[:max_characters]


async def test_text_of_a_message_that_vanished(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, message("gone", "Gone", []).to_bytes())
    ref = await only(source)
    office.burn(MAILBOX)
    for gone in (ref, MessageRef(ref.mailbox, ref.message_id, "/etc/passwd")):
        with pytest.raises(MessageNotFound):
            await source.text(gone, LONG)


@pytest.mark.parametrize(
    "mail",
    [
        b"\0" * 1_000,
        b"Content-Type: text/html\r\n\r\n" + b"<div>" * 5_000 + b"deep",
        b"Content-Type: text/html; charset=\xff\r\n\r\n<p>\xff\xfe\0</p>",
        b'Content-Type: multipart/alternative; boundary="b"\r\n\r\n--b\r\n',
        b"Content-Type: text/plain; charset=base64\r\n\r\nAAAA",
    ],
    ids=lambda mail: repr(mail[:24]),
)
async def test_of_broken_messages_whatever_there_is(office: PostOffice, source: MailSource, mail: bytes) -> None:
    text = await text_of(office, source, mail)
    assert text is None or "\0" not in text
