import binascii

import pytest

from satchel.mail.mime import ContentChanged, Encoding, decode, measure
from tests.unit.mail.mime.messages import decoded, opened, whole_file


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", b""),
        (b"caf=C3=A9\r\nnext", b"caf\xc3\xa9\r\nnext"),
        (b"caf=c3=a9", b"caf\xc3\xa9"),
        (b"soft=\r\nbreak=\nagain", b"softbreakagain"),
        (b"soft= \t\r\nbreak", b"softbreak"),
        (b"blanks \t \r\ngo", b"blanks\r\ngo"),
        (b"blanks at the end  ", b"blanks at the end"),
        (b"in the middle", b"in the middle"),
        (b"kept=20\r\n", b"kept \r\n"),
        (b"no =XY escape=", b"no =XY escape"),
        (b"old=\rMacintosh\r", b"oldMacintosh\r"),
        (b"=3D=3d==", b"==="),
    ],
)
def test_quoted_printable(body: bytes, expected: bytes) -> None:
    assert decoded(Encoding.QUOTED_PRINTABLE, body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", b""),
        (b"#0V%T\n`\nend\n", b"Cat"),
        (b"#0V%T\r\n`\r\nend\r\n", b"Cat"),
        (b"#0V%T\r`\rend\r", b"Cat"),
        (b'"0V$ \n \nend', b"Ca"),
        (b"!0 \n", b"@"),
        (b"#0V%Tchecksum\n", b"Cat"),
        (b"#0V%T\nend\n#0V%T\n", b"Cat"),
        (b"#0V%T\n`\n#0V%T\n", b"Cat"),
        (b"#0V%T\n\n#0V%T\n", b"CatCat"),
        (b"#`   \n", b"\0\0\0"),
        (b"#\n", b"\0\0\0"),
        (b"!!\xff\n", b"\x05"),
    ],
)
def test_uuencode(body: bytes, expected: bytes) -> None:
    assert decoded(Encoding.UUENCODE, body) == expected


@pytest.mark.parametrize("encoding", [Encoding.QUOTED_PRINTABLE, Encoding.UUENCODE])
def test_long_bodies_and_ranges(encoding: Encoding) -> None:
    original = b"".join(b"line %d with =, blanks and \xff\r\n" % number for number in range(100_000))
    if encoding is Encoding.UUENCODE:
        body = b"".join(binascii.b2a_uu(original[at : at + 45]) for at in range(0, len(original), 45)) + b"`\nend\n"
    else:
        body = binascii.b2a_qp(original, istext=True)
    found = whole_file(encoding, len(body))
    with opened(body) as fd:
        index = measure(fd, found)
        assert b"".join(decode(fd, found, index)) == original
        for start, stop in [(0, 5), (1_500_000, 1_600_000), (len(original) - 3, None), (3_000_000, 10**9)]:
            assert b"".join(decode(fd, found, index, start, stop)) == original[start:stop]
        assert max(map(len, decode(fd, found, index))) <= 1024 * 1024


def test_short_lines_cannot_make_pieces_grow() -> None:
    body = b"M\n" * 100_000
    found = whole_file(Encoding.UUENCODE, len(body))
    with opened(body) as fd:
        index = measure(fd, found)
        assert index.total == 45 * 100_000
        assert max(map(len, decode(fd, found, index))) <= 1024 * 1024


@pytest.mark.parametrize("encoding", [Encoding.QUOTED_PRINTABLE, Encoding.UUENCODE, Encoding.IDENTITY])
def test_a_file_that_shrinks_is_noticed(encoding: Encoding) -> None:
    body = b"#0V%T\n" * 1000
    found = whole_file(encoding, len(body))
    with opened(body) as fd, opened(body[:3000]) as shorter:
        index = measure(fd, found)
        with pytest.raises(ContentChanged):
            list(decode(shorter, found, index))


def test_a_file_that_decodes_to_less_than_before_is_noticed() -> None:
    body = b"=41" * 1000
    found = whole_file(Encoding.QUOTED_PRINTABLE, len(body))
    with opened(b"A" * 3000) as before, opened(body) as fd:
        index = measure(before, found)
        with pytest.raises(ContentChanged):
            list(decode(fd, found, index))
