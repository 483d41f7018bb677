from satchel.mail.mime import Encoding, decode, measure
from satchel.mail.mime.content import PIECE_BYTES
from tests.unit.mail.mime.messages import opened, whole_file


def test_a_body_without_encoding_is_read_as_it_stands() -> None:
    body = bytes(range(256)) * 10_000
    found = whole_file(Encoding.IDENTITY, len(body))
    with opened(body + b"\r\n--b--") as fd:
        index = measure(fd, found)
        assert index.total == len(body)
        pieces = list(decode(fd, found, index))
        assert b"".join(pieces) == body
        assert max(map(len, pieces)) <= PIECE_BYTES
        assert b"".join(decode(fd, found, index, 1000, 2000)) == body[1000:2000]


def test_ranges_are_cut_at_the_ends() -> None:
    found = whole_file(Encoding.IDENTITY, 5)
    with opened(b"hello, world") as fd:
        index = measure(fd, found)
        assert list(decode(fd, found, index, 5)) == []
        assert list(decode(fd, found, index, 3, 2)) == []
        assert list(decode(fd, found, index, 3, 100)) == [b"lo"]
        assert list(decode(fd, found, index, -2, 2)) == [b"he"]
