import base64
import itertools
import os

import pytest

from satchel.mail.mime import ContentChanged, Encoding, decode, measure
from satchel.mail.mime.base64_body import MARK_BYTES, WINDOW_BYTES
from tests.unit.mail.mime.messages import decoded, opened, whole_file


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", b""),
        (b"QUJD", b"ABC"),
        (b"QUI=", b"AB"),
        (b"QQ==\r\n", b"A"),
        (b"Q\r\nU J-_\xffD", b"ABC"),
        (b"QUI", b"AB"),
        (b"QQ", b"A"),
        (b"Q", b""),
        (b"QUJDQ", b"ABC"),
        (b"QUJDQ=", b"ABC"),
        (b"QUI=\r\n_______\r\nA mailing list\r\n", b"AB"),
        (b"QUI=QUJD", b"AB"),
        (b"=QUJD", b""),
        (b"QUJ=", b"AB"),
        (b"QR==", b"A"),
    ],
)
def test_real_and_broken_bodies(body: bytes, expected: bytes) -> None:
    assert decoded(Encoding.BASE64, body) == expected


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r", b" \r\n", b""])
@pytest.mark.parametrize("size", [WINDOW_BYTES // 4 * 3 - 1, 3 * WINDOW_BYTES + 2])
def test_bodies_longer_than_a_window(line_end: bytes, size: int) -> None:
    original = os.urandom(size)
    body = base64.encodebytes(original).replace(b"\n", line_end)
    found = whole_file(Encoding.BASE64, len(body))
    with opened(body) as fd:
        index = measure(fd, found)
        assert index.total == size
        assert b"".join(decode(fd, found, index)) == original
        for start, stop in [(0, 1), (size - 1, size), (size // 2, size // 2 + 100_000), (7, None)]:
            assert b"".join(decode(fd, found, index, start, stop)) == original[start:stop]
        assert max(map(len, decode(fd, found, index))) <= 1024 * 1024


def test_a_range_reads_about_the_range() -> None:
    body = base64.encodebytes(bytes(6 * MARK_BYTES))
    found = whole_file(Encoding.BASE64, len(body))
    with opened(body) as fd:
        index = measure(fd, found)
        offset, _ = index.mark_before((index.total - 10) // 3 * 4)
    assert len(body) - offset <= MARK_BYTES + WINDOW_BYTES


def test_a_file_that_shrinks_is_noticed() -> None:
    body = base64.encodebytes(os.urandom(5000))
    found = whole_file(Encoding.BASE64, len(body))
    with opened(body) as fd, opened(body[:3000]) as shorter, opened(b"\n" * len(body)) as emptied:
        index = measure(fd, found)
        with pytest.raises(ContentChanged):
            measure(shorter, found)
        for changed in (shorter, emptied):
            with pytest.raises(ContentChanged):
                list(decode(changed, found, index))


@pytest.mark.parametrize("line_end", [b"\r\n", b""])
def test_the_window_may_change_from_one_reading_to_the_next(line_end: bytes) -> None:
    original = os.urandom(100_000)
    body = base64.encodebytes(original).replace(b"\n", line_end)
    found = whole_file(Encoding.BASE64, len(body))
    windows = itertools.cycle([1000, 7, 20_000, 1])
    with opened(body) as fd:
        index = measure(fd, found)
        pieces = list(decode(fd, found, index, 5, None, lambda: next(windows)))
    assert b"".join(pieces) == original[5:]
    assert len(pieces) > 8
