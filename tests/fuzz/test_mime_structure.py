"""For any message whatever the reader ends, stays within the file, and finds the same through any window."""

import email.policy
from email.message import EmailMessage
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from satchel.mail.mime import Bounds, MessageTooComplex, decode, measure, read_structure, window
from tests.unit.mail.mime.messages import contents, found, opened

LINES = st.sampled_from(
    [
        b'Content-Type: multipart/mixed; boundary="b"',
        b'Content-Type: multipart/mixed; boundary="b--"',
        b"Content-Type: multipart/alternative; boundary=bb",
        b"Content-Type: multipart/digest boundary=c",
        b"Content-Type: multipart/mixed",
        b"Content-Type: text/html",
        b"Content-Type: image/png; name*0*=utf-8'de'%E2; name*1*=%82%AC.png",
        b"Content-Type: message/rfc822",
        b"Content-Type: message/external-body; access-type=URL",
        b"Content-Disposition: attachment; filename==?utf-8?q?=41?=",
        b'Content-Disposition: inline; filename="a\\"',
        b"Content-Disposition: filename=x y",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Content-Transfer-Encoding: x-uuencode",
        b"Content-ID: <a@b>",
        b'<img src="cid:a@b">',
        b"begin 644 name.txt",
        b"#0V%T",
        b"`",
        b"end",
        b" folded",
        b"From someone",
        b"--b",
        b"--b--",
        b"--b----",
        b"--bb",
        b"--bb-- ",
        b"--c\t",
        b"--",
        b"",
        b"",
        b"",
        b"QUJD=",
        b"x" * 1500,
    ]
)
ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r\n", b"\r", b""])
MESSAGES = st.lists(
    st.tuples(st.one_of(LINES, LINES, LINES, st.binary(max_size=30)), ENDS).map(b"".join), max_size=40
).map(b"".join)
BOUNDS = Bounds(max_parts=10, max_depth=4, max_part_header_bytes=5_000, max_total_header_bytes=20_000)


@given(MESSAGES)
def test_any_message_is_read_or_too_complex(message: bytes) -> None:
    with opened(message) as fd:
        try:
            found_attachments = read_structure(fd, 0, len(message), BOUNDS).attachments
        except MessageTooComplex:
            return
        assert len({each.path for each in found_attachments}) == len(found_attachments)
        for each in found_attachments:
            assert 0 <= each.start <= each.stop <= len(message)
            assert each.name
            assert each.name.isprintable() or not any(ord(character) < 32 for character in each.name)
            each.name.encode("utf-8")
            assert each.content_type.count("/") == 1
            index = measure(fd, each)
            assert sum(map(len, decode(fd, each, index))) == index.total


@given(MESSAGES)
def test_the_size_of_the_window_does_not_matter(message: bytes) -> None:
    message = message.replace(b"x" * 1500, b"x" * 1500 + b"\n" + b"y" * 900)
    assert _read(message) == _read(message, window_bytes=1)


@given(MESSAGES, st.binary(max_size=50), st.binary(max_size=50))
def test_where_the_message_lies_in_the_file_does_not_matter(message: bytes, before: bytes, after: bytes) -> None:
    with opened(before + message + after) as fd:
        shifted = read_structure(fd, len(before), len(before) + len(message))
    expected = found(message)
    assert [(each.start - len(before), each.stop - len(before)) for each in shifted.attachments] == [
        (each.start, each.stop) for each in expected
    ]
    assert [each.fingerprint for each in shifted.attachments] == [each.fingerprint for each in expected]


@given(
    st.lists(st.tuples(st.text(max_size=30), st.binary(max_size=300)), min_size=1, max_size=5),
    st.sampled_from(["base64", "quoted-printable"]),
    st.sampled_from([email.policy.SMTP, email.policy.default]),
)
def test_what_the_standard_library_writes_comes_back(
    files: list[tuple[str, bytes]], encoding: str, policy: email.policy.EmailPolicy
) -> None:
    message = EmailMessage(policy=policy)
    message.set_content("see the files")
    for name, data in files:
        safe = "".join(character for character in name if character.isalnum()) + ".bin"
        message.add_attachment(data, maintype="application", subtype="x-test", filename=safe, cte=encoding)
    raw = message.as_bytes()
    parts = list(message.iter_attachments())
    assert [each.name for each in found(raw)] == [part.get_filename() for part in parts]
    assert contents(raw) == [data for _, data in files]


def _read(message: bytes, window_bytes: int = window.WINDOW_BYTES) -> object:
    with patch.object(window, "WINDOW_BYTES", window_bytes), opened(message) as fd:
        return read_structure(fd, 0, len(message))
