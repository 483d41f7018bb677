"""Where parts begin and end, in well-formed and in broken messages."""

from unittest.mock import patch

import pytest

from satchel.mail.mime import Bounds, MessageTooComplex, window
from satchel.mail.mime.scan import Part, scan
from satchel.mail.mime.window import Window
from tests.unit.mail.mime.messages import opened, structure


def tree(message: bytes) -> list[tuple[str, str, bytes]]:
    """Path, type and body of each part that is no container."""
    with opened(message) as fd:
        _, parts = scan(Window(fd, 0, len(message)), Bounds())
    return [(each.path, each.content_type, body(message, each)) for each in parts if not each.is_multipart]


def body(message: bytes, part: Part) -> bytes:
    return message[part.body_start : part.body_stop]


def bodies(message: bytes) -> list[bytes]:
    return [each[2] for each in tree(message)]


HEAD = b'Content-Type: multipart/mixed; boundary="b"\n\n'


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends(end: bytes) -> None:
    message = b"\n".join(
        [
            HEAD[:-2],
            b"",
            b"preamble",
            b"--b",
            b"",
            b"one",
            b"",
            b"--b",
            b"Content-Type: image/png",
            b"",
            b"two",
            b"--b--",
            b"x",
        ]
    )
    assert bodies(message.replace(b"\n", end)) == [b"one" + end, b"two"]


def test_a_bare_carriage_return_is_content_where_lines_end_in_line_feeds() -> None:
    assert bodies(HEAD + b"--b\n\nx\r--b\ry\n--b--\n") == [b"x\r--b\ry"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(HEAD + b"--b\n\n--b\n\n\n--b--", [b"", b""], id="empty bodies"),
        pytest.param(HEAD + b"--b\n\none", [b"one"], id="never closed"),
        pytest.param(HEAD + b"--b \t\n\none\n--b-- \t\nx", [b"one"], id="delimiters with trailing blanks"),
        pytest.param(HEAD + b"--b\n\n--bx\n --b\n---b\n--b-\n--b--", [b"--bx\n --b\n---b\n--b-"], id="lines like it"),
        pytest.param(HEAD + b"--b\nContent-Type: image/png\n--b\n\ntwo\n--b--", [b"", b"two"], id="header cut off"),
        pytest.param(HEAD + b"--b\nno header\n\ntwo\n--b--", [b"no header\n\ntwo"], id="header forgotten"),
        pytest.param(HEAD + b"--b\nA: b\nno header\n--b--", [b"no header\n"[:-1]], id="blank line forgotten"),
        pytest.param(HEAD + b"--b--\n\n--b\n\nafter the end", [], id="closed at once"),
        pytest.param(HEAD + b"nothing delimited", [], id="no delimiter"),
        pytest.param(HEAD + b"--b", [b""], id="ends with a delimiter"),
        pytest.param(HEAD.replace(b'"b"', b"=_b=c") + b"--=_b=c\n\none\n--=_b=c--", [b"one"], id="unquoted with ="),
        pytest.param(HEAD.replace(b'"b"', b'\n\t"b"') + b"--b\n\none\n--b--", [b"one"], id="folded boundary"),
        pytest.param(HEAD.replace(b"; b", b" b") + b"--b\n\none\n--b--", [b"one"], id="semicolon forgotten"),
        pytest.param(HEAD.replace(b'"b"', b'"b  "') + b"--b\n\none\n--b--", [b"one"], id="boundary ends in blanks"),
        pytest.param(HEAD.replace(b'"b"', b"B") + b"--b\n\none\n--B\n\ntwo", [b"two"], id="boundaries have a case"),
    ],
)
def test_delimiters_of_one_level(message: bytes, expected: list[bytes]) -> None:
    assert bodies(message) == expected
    assert bodies(message.replace(b"\n", b"\r\n")) == [each.replace(b"\n", b"\r\n") for each in expected]


def inner(boundary: bytes) -> bytes:
    return b"Content-Type: multipart/alternative; boundary=" + boundary + b"\n\n"


@pytest.mark.parametrize(
    ("message", "paths", "expected"),
    [
        pytest.param(
            HEAD + b"--b\n" + inner(b"i") + b"--i\n\none\n--i--\nepilogue\n--b\n\ntwo\n--b--",
            ["1.1", "2"],
            [b"one", b"two"],
            id="nested",
        ),
        pytest.param(
            HEAD + b"--b\n" + inner(b"i") + b"--i\n\none\n--b\n\ntwo\n--b--",
            ["1.1", "2"],
            [b"one", b"two"],
            id="unclosed",
        ),
        pytest.param(
            HEAD + b"--b\n" + inner(b"bb") + b"--bb\n\none\n--bb--\n--b\n\ntwo\n--b--",
            ["1.1", "2"],
            [b"one", b"two"],
            id="outer is a prefix of inner",
        ),
        pytest.param(
            HEAD.replace(b'"b"', b"bb") + b"--bb\n" + inner(b"b") + b"--b\n\none\n--b--\n--bb\n\ntwo\n--bb--",
            ["1.1", "2"],
            [b"one", b"two"],
            id="inner is a prefix of outer",
        ),
        pytest.param(
            HEAD + b"--b\n" + inner(b"b--") + b"--b--\n\none\n--b----\n--b\n\ntwo\n--b--",
            ["1.1", "2"],
            [b"one", b"two"],
            id="inner looks like the end of outer",
        ),
        pytest.param(
            HEAD + b"--b\n" + inner(b"b") + b"--b\n\none\n--b--\n--b\n\ntwo\n--b--",
            ["1.1", "2"],
            [b"one", b"two"],
            id="the same boundary twice",
        ),
        pytest.param(HEAD + b"--b\n" + inner(b"i") + b"--i--\n--b\n\ntwo\n--b--", ["2"], [b"two"], id="empty inner"),
    ],
)
def test_nested_multiparts(message: bytes, paths: list[str], expected: list[bytes]) -> None:
    found = tree(message)
    assert [each[0] for each in found] == paths
    assert [each[2] for each in found] == expected


def test_a_missing_subtype_is_read_by_its_type() -> None:
    assert tree(b"Content-Type: text\n\nx")[0][1] == "text/plain"
    assert tree(b"Content-Type: image\n\nx")[0][1] == "application/octet-stream"
    assert tree(b"Content-Type: b\xc3\xa4d/type\n\nx")[0][1] == "application/octet-stream"
    assert bodies(b"Content-Type: multipart; boundary=b\n\n--b\n\none\n--b--") == [b"one"]


@pytest.mark.parametrize("size", [0, 1, 1000, 4095, 4096, 4097, 8192, 10_000])
def test_delimiters_anywhere_in_a_window(size: int) -> None:
    with patch.object(window, "WINDOW_BYTES", 1):
        for end in (b"\n", b"\r\n"):
            message = (
                (HEAD + b"--b\n\n").replace(b"\n", end) + b"x" * size + end + b"--b" + end * 2 + b"two" + end + b"--b--"
            )
            assert bodies(message) == [b"x" * size, b"two"]


@pytest.mark.parametrize(
    ("message", "bounds", "bound"),
    [
        (HEAD + b"--b\n\nx\n" * 10, Bounds(max_parts=10), "parts"),
        (HEAD + (b"--b\n" + HEAD) * 3, Bounds(max_depth=3), "levels of nested multiparts"),
        (b"X: " + b"x" * 1000 + b"\n\n", Bounds(max_part_header_bytes=1000), "bytes of header in one part"),
        (b"X: " + b"x" * 100_000, Bounds(max_part_header_bytes=1000), "bytes of header in one part"),
        (
            HEAD + (b"--b\nX: " + b"x" * 900 + b"\n\n") * 3,
            Bounds(max_total_header_bytes=2000),
            "bytes of header in all parts",
        ),
    ],
)
def test_bounds(message: bytes, bounds: Bounds, bound: str) -> None:
    with pytest.raises(MessageTooComplex, match=rf"more than \d+ {bound}") as caught:
        structure(message, bounds)
    assert caught.value.bound == bound


def test_uuencoded_files_count_as_parts_do() -> None:
    with pytest.raises(MessageTooComplex, match="attachments"):
        structure(b"X: y\n\n" + b"begin 644 a\n#0V%T\n`\nend\n" * 4, Bounds(max_parts=3))


def test_just_within_the_bounds() -> None:
    structure(HEAD + b"--b\n\nx\n" * 9, Bounds(max_parts=10))
    structure(HEAD + (b"--b\n" + HEAD) * 2, Bounds(max_depth=3))
    assert structure(b"X: " + b"x" * 996 + b"\n\n", Bounds(max_part_header_bytes=1000)).header
