import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from satchel.mail.folder.mboxindex import MboxIndex

FROM = b"From somebody Mon Jun  2 09:30:00 2025\n"


class Box:
    """An mbox file, its index, and what the index says of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = MboxIndex()
        self._ticks = 0

    def write(self, content: bytes) -> None:
        self.path.write_bytes(content)
        self._touch()

    def append(self, content: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(content)
        self._touch()

    def messages(self) -> list[bytes]:
        with self.path.open("rb") as file:
            self.index.refresh(file.fileno())
            content = file.read()
            extents = [self.index.extent(file.fileno(), at) for at in range(len(self.index))]
        return [content[start:stop] for start, stop in extents]

    def keys(self) -> list[bytes]:
        self.messages()
        return [self.index.key(at) for at in range(len(self.index))]

    def _touch(self) -> None:
        # Whatever the clock of the file system, every write has another time.
        self._ticks += 1
        os.utime(self.path, ns=(0, self._ticks))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box.mbox")


def mail(number: int, body: bytes = b"Hi\n") -> bytes:
    return b"Message-ID: <%d@x>\n\n%b" % (number, body)


def test_messages_are_split_at_from_after_a_blank_line(box: Box) -> None:
    box.write(FROM + mail(1) + b"\n" + FROM + mail(2, b"a\n\n\n") + b"\n" + FROM + mail(3))
    assert box.messages() == [mail(1), mail(2, b"a\n\n\n"), mail(3)]


def test_messages_of_crlf_lines(box: Box) -> None:
    messages = [mail(number).replace(b"\n", b"\r\n") for number in (1, 2)]
    box.write(b"\r\n".join(FROM.replace(b"\n", b"\r\n") + each for each in messages))
    assert box.messages() == messages


@pytest.mark.parametrize("body", [b"From here\n", b"a\nFrom here\n", b"a\n\n>From here\n", b"a\n\nFromage\n", b"\n\n"])
def test_what_is_no_separator(box: Box, body: bytes) -> None:
    box.write(FROM + mail(1, b"x\n" + body) + b"\n" + FROM + mail(2))
    assert len(box.messages()) == 2


@pytest.mark.parametrize("content", [b"", b"\n", b"no mbox at all", b"From", b"From \n", FROM])
def test_files_with_hardly_anything(box: Box, content: bytes) -> None:
    box.write(content)
    assert b"".join(box.messages()) == b""


@pytest.mark.parametrize("shift", range(-12, 12))
def test_separators_across_the_pieces_that_are_read(box: Box, shift: int) -> None:
    first = mail(1)
    first += b"x" * ((1 << 20) + shift - len(FROM) - len(first) - 1) + b"\n"
    box.write(FROM + first + b"\n" + FROM + mail(2))
    assert box.messages() == [first, mail(2)]


def test_growth_is_read_and_nothing_before_it(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.write(FROM + mail(1, b"x" * 5_000_000 + b"\n"))
    assert len(box.messages()) == 1
    box.append(b"\n" + FROM + mail(2))
    read: list[int] = []
    monkeypatch.setattr(os, "pread", counting(os.pread, read))
    assert box.messages()[1] == mail(2)
    assert sum(read) < 100_000
    assert box.index.generation == 1


def counting(pread: Callable[[int, int, int], bytes], read: list[int]) -> Callable[[int, int, int], bytes]:
    def counted(fd: int, size: int, offset: int) -> bytes:
        read.append(size)
        return pread(fd, size, offset)

    return counted


def test_an_unchanged_file_is_not_read(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.write(FROM + mail(1))
    box.messages()
    read: list[int] = []
    monkeypatch.setattr(os, "pread", counting(os.pread, read))
    with box.path.open("rb") as file:
        box.index.refresh(file.fileno())
    assert read == []


def test_a_message_that_comes_in_pieces(box: Box) -> None:
    whole = FROM + mail(1) + b"\n" + FROM + mail(2) + b"\n" + FROM + mail(3)
    fresh = Box(box.path)
    for cut in pieces_of(len(whole)):
        box.write(b"")
        box.messages()
        box.write(whole[:cut])
        box.messages()
        box.append(whole[cut:])
        assert box.messages() == [mail(1), mail(2), mail(3)]
        assert box.keys() == fresh.keys()


def pieces_of(length: int) -> Iterator[int]:
    yield from range(1, length)


def test_a_rewritten_file_begins_anew(box: Box) -> None:
    box.write(FROM + mail(1) + b"\n" + FROM + mail(2))
    first, second = box.keys()
    box.write(FROM + mail(2))
    assert box.keys() == [second]
    assert box.index.generation == 2
    box.write(FROM + mail(9) + b"\n" + FROM + mail(1) + b"\n" + FROM + mail(2))
    assert box.keys()[1:] == [first, second]


def test_flags_do_not_change_the_key(box: Box) -> None:
    box.write(FROM + b"Subject: x\nMessage-ID: <1@x>\n\nHi\n")
    (before,) = box.keys()
    flags = b"Status: RO\nX-Status: A\nX-Keywords: one\n two\nX-UID: 7\nContent-Length: 3\n"
    box.write(FROM.replace(b"somebody", b"nobody") + b"Subject: x\n" + flags + b"Message-ID: <1@x>\n\nHi\n")
    assert box.keys() == [before]
    box.write(FROM + b"Subject: y\nMessage-ID: <1@x>\n\nHi\n")
    assert box.keys() != [before]


def test_equals_are_numbered(box: Box) -> None:
    box.write(b"\n".join([FROM + mail(1), FROM + mail(2), FROM + mail(1), FROM + mail(1)]))
    keys = box.keys()
    assert [key.partition(b".")[2] for key in keys] == [b"0", b"0", b"1", b"2"]
    box.append(b"\n" + FROM + mail(1))
    assert box.keys() == [*keys, keys[0].replace(b".0", b".3")]


def test_finding_with_a_stale_hint(box: Box) -> None:
    box.write(b"\n".join([FROM + mail(number % 7) for number in range(50)]))
    for at, key in enumerate(box.keys()):
        for hint in (0, box.index.start(at), box.index.start(at) + 1, 1 << 62):
            assert box.index.find(key, hint) == at


@pytest.mark.parametrize("key", [b"", b".", b"zz.0", b"00.0", b"\xff.0", b"00" * 16 + b".0", b"00" * 16])
def test_finding_what_is_not_there(box: Box, key: bytes) -> None:
    box.write(FROM + mail(1))
    box.messages()
    assert box.index.find(key, 0) is None
