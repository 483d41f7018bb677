"""Digests that are reckoned in threads are those of the bytes in their order, and hold little."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satchel.mail.graph.digests import RunningDigest
from satchel.mail.graph.streams import ContentStreams, batch_bytes

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


@given(pieces=st.lists(st.binary(max_size=40), max_size=60), batch=st.integers(0, 100), asked=st.integers(0, 60))
async def test_it_is_that_of_the_bytes_in_their_order(
    threads: ThreadPoolExecutor, pieces: list[bytes], batch: int, asked: int
) -> None:
    digest = RunningDigest(threads, batch)
    for number, piece in enumerate(pieces):
        if number == asked:
            assert await digest.hexadecimal() == hashlib.sha256(b"".join(pieces[:number])).hexdigest()
        await digest.add(piece)
    for _ in range(2):
        assert await digest.hexadecimal() == hashlib.sha256(b"".join(pieces)).hexdigest()


@pytest.mark.parametrize("streams", [1, 8, 9, 32, 33, 1000])
def test_all_streams_together_hold_little(streams: int) -> None:
    each = batch_bytes(streams)
    assert 2 * each * streams <= 16 * MIB
    assert each == 0 or 256 * 1024 <= each <= MIB


def test_streams_are_counted_as_long_as_they_are_read() -> None:
    shared = ContentStreams()
    with shared.begun():
        with shared.begun():
            assert shared.count == 2
        assert shared.count == 1
    assert shared.count == 0
    shared.close()
