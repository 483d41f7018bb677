"""No message and no HTML makes the reader of texts fail, or gives what it should not."""

import tempfile

from hypothesis import given
from hypothesis import strategies as st

from satchel.mail.body_text import html_text
from satchel.mail.mime import read_text
from satchel.mail.mime.flowed import unwrapped

TAGS = [
    "table",
    "tr",
    "td",
    "ul",
    "li",
    "ol",
    "p",
    "div",
    "b",
    "br",
    "pre",
    "script",
    "style",
    "blockquote",
    "a",
    "svg",
]
PIECES = [f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS]
PIECES += [
    "text",
    "&amp;",
    "&lt;",
    "&#0;",
    "&#xD800;",
    "\0",
    " ",
    "\n",
    "<td style='display:none'>",
    "<!--",
    "-->",
    "<![CDATA[",
]
PIECES += ["<li value=7>", "<table align=center>", "<p style='margin-top: x; padding-left: -3em'>", "é", "\ud800"]
PARTS = [
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n",
    b"--b\r\n",
    b"--b--\r\n",
    b"Content-Type: text/html\r\n",
]
PARTS += [b"Content-Type: text/plain; format=flowed; delsp=yes\r\n", b"Content-Transfer-Encoding: base64\r\n", b"\r\n"]
PARTS += [b"Content-Type: text/plain; charset=iso-2022-jp\r\n", b"Content-Transfer-Encoding: x-uuencode\r\n", b"QUJD"]
PARTS += [b"begin 644 x\r\n#0V%T\r\n`\r\nend\r\n", b"<p>", b"words ", b"\x1b$B", b"\xff", b"=C3", b"\0"]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_any_html_gives_text(html: str) -> None:
    text = html_text(html)
    assert "\0" not in text
    assert "\r" not in text
    assert text == text.strip("\n")


@given(
    st.lists(st.one_of(st.sampled_from(PARTS), st.binary(max_size=12)), max_size=25).map(b"".join), st.integers(1, 40)
)
def test_any_message_gives_text_or_none(mail: bytes, max_characters: int) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(mail)
        file.flush()
        text = read_text(file.fileno(), 0, len(mail), max_characters)
    assert text is None or 0 < len(text) <= max_characters


@given(st.text(alphabet="> -a\n\r\u2028", max_size=80))
def test_unwrapping_loses_no_word(text: str) -> None:
    def words(of: str) -> str:
        return "".join(of.replace(">", "").split())

    assert words(unwrapped(text)) == words(text)
