"""What many open streams hold together."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from unittest.mock import patch

import pytest

from satchel.mail.folder.content import FolderContent
from satchel.mail.folder.sharing import OpenStreams, grant_bytes
from satchel.mail.folder.source import FolderSource
from satchel.mail.mime import base64_body
from satchel.mail.source import MessageRef
from satchel.testing.content import Generated
from satchel.testing.mail import deliver, large_message

Messages = Callable[[], Awaitable[list[MessageRef]]]
KIB = 1024
MIB = 1024 * KIB
SIZE = 8 * MIB
CONTENT = b"".join(Generated(SIZE).pieces(0, SIZE))


@pytest.mark.parametrize(
    ("streams", "held_bytes", "expected"),
    [
        (0, 0, MIB),
        (1, 0, MIB),
        (16, 0, MIB),
        (32, 0, 512 * KIB),
        (512, 0, 32 * KIB),
        (100_000, 0, 16 * KIB),
        (1, 32 * MIB - 100 * KIB, 100 * KIB),
        (1, 40 * MIB, 16 * KIB),
    ],
)
def test_what_a_stream_may_read_at_once(streams: int, held_bytes: int, expected: int) -> None:
    assert grant_bytes(streams, held_bytes) == expected


def test_streams_and_what_they_hold_are_counted() -> None:
    streams = OpenStreams()
    first, second = streams.begin(), streams.begin()
    assert (first.grant(), streams.held_bytes) == (MIB, MIB)
    first.took(MIB, 300 * KIB)
    assert streams.held_bytes == 300 * KIB
    for number in range(4):
        assert streams.held_bytes == 300 * KIB, number
        first.give(100 * KIB)
    assert streams.held_bytes == 200 * KIB
    second.grant()
    first.close()
    assert (streams.count, streams.held_bytes) == (1, MIB)
    second.close()
    assert (streams.count, streams.held_bytes) == (0, 0)


def test_many_streams_that_begin_one_after_another_keep_to_the_budget() -> None:
    streams = OpenStreams()
    for _ in range(1000):
        streams.begin().grant()
    assert streams.held_bytes <= 32 * MIB + 1000 * 16 * KIB


def test_there_is_no_reading_ahead_among_many() -> None:
    streams = OpenStreams()
    share = streams.begin()
    assert share.may_read_ahead
    for _ in range(200):
        streams.begin()
    assert not share.may_read_ahead


@pytest.fixture
async def content(root: Path, source: FolderSource, messages: Messages) -> FolderContent:
    deliver(root / "a@example.com", large_message(SIZE))
    [ref] = await messages()
    return await source.open(ref, (await source.list(ref))[0].id)


async def test_pieces_are_small_among_many_streams_and_large_again_after_them(content: FolderContent) -> None:
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(aclosing(content.chunks())) for _ in range(1000)]
        for other in others:
            await anext(other)
        async with aclosing(content.chunks()) as pieces:
            got = [await anext(pieces) for _ in range(20)]
            assert max(map(len, got)) <= 16 * KIB
            await stack.aclose()
            got += [piece async for piece in pieces]
    assert b"".join(got) == CONTENT
    assert max(map(len, got)) > 128 * KIB
    await content.aclose()


async def test_a_range_costs_the_range_and_not_the_file(content: FolderContent) -> None:
    read_bytes = 0

    def counting(fd: int, wanted: int, offset: int) -> bytes:
        nonlocal read_bytes
        data = pread_all(fd, wanted, offset)
        read_bytes += len(data)
        return data

    pread_all, start = base64_body.pread_all, SIZE - 3 * MIB
    with patch.object(base64_body, "pread_all", counting):
        got = b"".join([piece async for piece in content.chunks(start, start + 64 * KIB)])
    assert got == CONTENT[start : start + 64 * KIB]
    assert 64 * KIB < read_bytes <= base64_body.MARK_BYTES + 2 * base64_body.WINDOW_BYTES
    await content.aclose()
