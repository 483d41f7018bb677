"""For any body whatever: the size that is measured is the size that is decoded, and a range is a slice of the whole."""

import binascii
import re
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from satchel.mail.mime import Encoding, base64_body, content, line_body
from tests.unit.mail.mime.messages import opened, whole_file

LIKELY = st.sampled_from(
    [
        *b"= == \r\n \n \r \t =\r\n =\n =\r =4 =41 QUJD AA M ` #0V%T\n end\n \xff - _ begin".split(b" "),
        b" ",
        b"  \r\n",
        b"A" * 45,
    ]
)
BODIES = st.lists(st.one_of(LIKELY, st.binary(max_size=20)), max_size=60).map(b"".join)
ENCODINGS = st.sampled_from(list(Encoding))


@given(BODIES, ENCODINGS, st.integers(1, 40), st.data())
def test_measure_decode_and_ranges_agree(body: bytes, encoding: Encoding, window: int, data: st.DataObject) -> None:
    found = whole_file(encoding, len(body))
    with (
        patch.object(base64_body, "WINDOW_BYTES", window),
        patch.object(line_body, "_QP_BLOCK_BYTES", window),
        patch.object(line_body, "_UU_BLOCK_BYTES", window),
        patch.object(content, "PIECE_BYTES", window),
        opened(body) as fd,
    ):
        index = content.measure(fd, found)
        whole = b"".join(content.decode(fd, found, index))
        assert len(whole) == index.total
        start = data.draw(st.integers(0, index.total + 3))
        stop = data.draw(st.one_of(st.none(), st.integers(0, index.total + 3)))
        assert b"".join(content.decode(fd, found, index, start, stop)) == whole[start:stop]


@given(BODIES, st.integers(1, 40))
def test_base64_is_what_stands_before_the_first_padding(body: bytes, window: int) -> None:
    characters = re.sub(rb"[^A-Za-z0-9+/]", b"", body.split(b"=")[0])
    characters = characters[: len(characters) - (len(characters) % 4 == 1)]
    expected = binascii.a2b_base64(characters + b"=" * (-len(characters) % 4))
    found = whole_file(Encoding.BASE64, len(body))
    with patch.object(base64_body, "WINDOW_BYTES", window), opened(body) as fd:
        assert b"".join(content.decode(fd, found, content.measure(fd, found))) == expected
    assert base64_body.decode_block(body) == expected


@given(st.binary(max_size=2000), st.integers(80, 400))
def test_quoted_printable_comes_back_wherever_it_is_cut(original: bytes, window: int) -> None:
    body = binascii.b2a_qp(original, istext=False)
    found = whole_file(Encoding.QUOTED_PRINTABLE, len(body))
    with patch.object(line_body, "_QP_BLOCK_BYTES", window), opened(body) as fd:
        assert b"".join(content.decode(fd, found, content.measure(fd, found))) == original


@given(st.binary(max_size=2000), st.integers(65, 400))
def test_uuencoded_comes_back_wherever_it_is_cut(original: bytes, window: int) -> None:
    lines = [binascii.b2a_uu(original[at : at + 45]) for at in range(0, len(original), 45)]
    body = b"".join(lines) + b"`\nend\n"
    found = whole_file(Encoding.UUENCODE, len(body))
    with patch.object(line_body, "_UU_BLOCK_BYTES", window), opened(body) as fd:
        assert b"".join(content.decode(fd, found, content.measure(fd, found))) == original
