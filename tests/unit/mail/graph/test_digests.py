"""Digests that are reckoned in a thread are those of the bytes in their order, and hold little."""

import hashlib
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satchel.mail.graph import digests
from satchel.mail.graph.digests import DigestThread, RunningDigest

KIB = 1024


@pytest.fixture(scope="module")
def thread() -> Iterator[DigestThread]:
    thread = DigestThread()
    yield thread
    thread.close()


@given(sizes=st.lists(st.sampled_from([0, 1, 64 * KIB - 1, 64 * KIB, 70 * KIB]), max_size=12), asked=st.integers(0, 12))
async def test_it_is_that_of_the_bytes_in_their_order(thread: DigestThread, sizes: list[int], asked: int) -> None:
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    digest = RunningDigest(thread)
    for number, piece in enumerate(pieces):
        if number == asked:
            assert await digest.hexadecimal() == hashlib.sha256(b"".join(pieces[:number])).hexdigest()
        await digest.add(piece)
    for _ in range(2):
        assert await digest.hexadecimal() == hashlib.sha256(b"".join(pieces)).hexdigest()


async def test_two_digests_do_not_disturb_each_other(thread: DigestThread) -> None:
    both = RunningDigest(thread), RunningDigest(thread)
    for number in range(8):
        for at, digest in enumerate(both):
            await digest.add(bytes([number, at]) * 64 * KIB)
    for at, digest in enumerate(both):
        whole = b"".join(bytes([number, at]) * 64 * KIB for number in range(8))
        assert await digest.hexadecimal() == hashlib.sha256(whole).hexdigest()


async def test_small_pieces_need_no_thread() -> None:
    before = threading.active_count()
    digest = RunningDigest(DigestThread())
    await digest.add(b"small")
    assert await digest.hexadecimal() == hashlib.sha256(b"small").hexdigest()
    assert threading.active_count() == before


async def test_who_is_faster_than_the_thread_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_MOST_WAITING_BYTES", 128 * KIB)
    thread = DigestThread()
    digest = RunningDigest(thread)
    for number in range(64):
        await digest.add(bytes([number]) * 64 * KIB)
        assert thread.waiting_bytes <= 128 * KIB
    thread.close()


async def test_a_thread_that_was_closed_begins_anew() -> None:
    thread = DigestThread()
    digest = RunningDigest(thread)
    await digest.add(b"a" * 64 * KIB)
    thread.close()
    assert await digest.hexadecimal() == hashlib.sha256(b"a" * 64 * KIB).hexdigest()
    thread.close()
