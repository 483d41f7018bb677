"""What many open streams hold together."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, suppress
from pathlib import Path
from unittest.mock import patch

import pytest

from satchel.mail.folder.content import FolderContent
from satchel.mail.folder.sharing import OpenStreams, ahead_bytes
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
    ("streams", "expected"), [(0, MIB), (1, MIB), (32, MIB), (64, 512 * KIB), (1024, 32 * KIB), (100_000, 16 * KIB)]
)
def test_the_share_of_a_stream(streams: int, expected: int) -> None:
    assert ahead_bytes(streams) == expected


def test_streams_are_counted_whatever_happens() -> None:
    streams = OpenStreams()
    with suppress(ZeroDivisionError), streams.one_more():
        assert streams.count == 1
        raise ZeroDivisionError
    assert streams.count == 0


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
            assert max(map(len, got)) <= 34 * KIB
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
