"""Real mail: the plain text that Python's own parser finds is the text that is read, word for word."""

import email
import email.policy
import os
from pathlib import Path

import pytest

from satchel.mail.mime import read_text

MAIL = Path(__file__).parents[3] / "shared" / "data" / "mail"
FILES = sorted(MAIL.glob("*.eml"))

pytestmark = pytest.mark.skipif(not FILES, reason="the reference mail is not beside the project")

# Where Python's parser finds something else, and why that is not followed.
OTHERS = {
    # Latin-1 is read as Windows-1252, as browsers do.
    "mikel__attachment_emails__attachment_pdf_non_ascii.eml",
    "mikel__error_emails__content_transfer_encoding_7-bit.eml",
    # It takes a file that is attached for the text, or a part of a malformed type.
    "mimekit__messages__issue358.txt.eml",
    "mimekit__messages__missing-subtype.txt.eml",
    # A uuencoded file within the text is an attachment.
    "stalwart__legacy__049.eml",
    # Quoted-printable: blanks before a line's end are none of the text (RFC 2045 section 6.7), and neither are NULs.
    "stalwart__thirdparty__000.eml",
    # A text that begins in what looks like a header.
    "stalwart__malformed__019.eml",
}


def text_of(path: Path) -> str | None:
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_text(fd, 0, path.stat().st_size, 1_000_000)
    finally:
        os.close(fd)


def by_python(path: Path) -> str | None:
    """None also where it cannot decode what it finds."""
    found = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    try:
        body = found.get_body(preferencelist=("plain",))  # type: ignore[attr-defined]
        text: str | None = body.get_content() if body is not None else None
    except (LookupError, ValueError, AttributeError, TypeError):
        return None
    return None if text is None or "\ufffd" in text else text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_text_of_real_mail(path: Path) -> None:
    text, theirs = text_of(path), by_python(path)
    assert text is None or text.strip()
    if theirs is not None and path.name not in OTHERS:
        words = theirs.split()
        assert (text or "").split()[: len(words)] == words


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mikel__multi_charset__japanese_shift_jis.eml", "あいうえお\n\nこのメールは"),
        ("mimekit__tnef__ukr.eml", "шостий"),
        ("stalwart__legacy__052.eml", "Die Hasen und die Frösche\n\nDie Hasen klagten einst über ihre mißliche Lage"),
        ("mikel__plain_emails__raw_email5.eml", "Test test. Hi. Waving. m\n\n----"),
        ("mikel__attachment_emails__attachment_only_email.eml", None),
    ],
)
def test_what_was_looked_at(name: str, text: str | None) -> None:
    found = text_of(MAIL / name)
    assert found is None if text is None else (found or "").startswith(text)
