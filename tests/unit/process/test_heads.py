"""A head goes out with the first piece of its body, and without one where there is none."""

from typing import Any, cast

import pytest

from satchel.process.heads import HeadHolder


class Transport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def writelines(self, pieces: Any) -> None:
        self.writes.append(b"".join(pieces))

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
def holder(transport: Transport) -> HeadHolder:
    return HeadHolder(cast("Any", transport))


def test_head_and_first_piece_are_one_write(transport: Transport, holder: HeadHolder) -> None:
    for data in (b"HTTP/1.1 200 OK\r\n\r\n", b"one", b"two"):
        holder.write(data)
    assert transport.writes == [b"HTTP/1.1 200 OK\r\n\r\none", b"two"]


def test_an_interim_answer_goes_at_once_and_the_head_behind_it_waits(transport: Transport, holder: HeadHolder) -> None:
    holder.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    holder.write(b"HTTP/1.1 200 OK\r\n\r\n")
    assert transport.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    holder.write(b"body")
    assert transport.writes[1:] == [b"HTTP/1.1 200 OK\r\n\r\nbody"]


def test_a_head_without_a_body_goes_when_the_answer_ends(transport: Transport, holder: HeadHolder) -> None:
    holder.write(b"HTTP/1.1 304 Not Modified\r\n\r\n")
    assert transport.writes == []
    holder.flush()
    holder.flush()
    assert transport.writes == [b"HTTP/1.1 304 Not Modified\r\n\r\n"]


def test_a_head_goes_before_the_connection_is_closed(transport: Transport, holder: HeadHolder) -> None:
    holder.write(b"HTTP/1.1 200 OK\r\n\r\n")
    holder.close()
    assert (transport.writes, transport.is_closed, holder.is_closing()) == ([b"HTTP/1.1 200 OK\r\n\r\n"], True, True)
