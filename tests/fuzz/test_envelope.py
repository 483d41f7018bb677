"""No header, however hostile, makes the envelope's reader fail or lets a control character through."""

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from satchel.contract.events import Recipient
from satchel.mail.mime.envelope import MAX_RECIPIENTS, Envelope, read_envelope

NAMES = [
    b"From",
    b"Sender",
    b"To",
    b"Cc",
    b"Subject",
    b"Date",
    b"Received",
    b"Message-ID",
    b"References",
    b"In-Reply-To",
]
PIECES = [b"<", b">", b'"', b"\\", b"(", b")", b",", b";", b":", b"@", b"=?utf-8?q?", b"=?utf-8?b?", b"?=", b"=0D=0A"]
PIECES += [
    b"=00",
    b"\r\n ",
    b"\n\t",
    b"\r",
    b"\0",
    b"\xff",
    b"\xc3",
    b" ",
    b"a",
    b"a@b.c",
    b"Mon, 2 Jun 2025 10:00:00 +0200",
]
PIECES += [b"=?utf-7?q?+AAo-?=", b"=?idna?q?x?=", b"=?x?", b"\xe2\x80\xa8", b"9999", b"-9999", b"Jan", b"??", b"="]

values = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join))
fields = st.builds(lambda name, value: name + b": " + value + b"\r\n", st.sampled_from(NAMES), values)
headers = st.one_of(st.binary(max_size=300), st.lists(fields, max_size=12).map(b"".join))


def texts(envelope: Envelope) -> list[str]:
    people: list[Recipient] = [envelope.sender, envelope.from_, *envelope.to, *envelope.cc]
    found = [envelope.message_id, envelope.subject, envelope.conversation_root]
    return found + [text for each in people for text in (each.email_address.name, each.email_address.address)]


@given(headers)
def test_any_header_has_an_envelope(header: bytes) -> None:
    envelope = read_envelope(header)
    assert len(envelope.to) <= MAX_RECIPIENTS
    for text in texts(envelope):
        text.encode()
        assert not any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in text)
    for when in (envelope.date, envelope.received):
        assert when is None or (when.utcoffset() is not None and re.fullmatch(r"\d{4}-.*", when.isoformat()))


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map(b"".join))
def test_repetition_is_no_attack(piece: bytes) -> None:
    repeated = piece * (40_000 // len(piece))
    names = (b"From: ", b"To: ", b"Subject: ", b"Date: ", b"References: ")
    envelope = read_envelope(b"\r\n".join(name + repeated for name in names))
    assert len(envelope.to) <= MAX_RECIPIENTS
