"""What happens to a stream when its message changes under it."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from satchel.mail.folder.content import FolderContent
from satchel.mail.folder.source import FolderSource
from satchel.mail.source import MessageRef, SourceError
from satchel.testing.content import Generated
from satchel.testing.mail import deliver, large_message, message_with_files

Messages = Callable[[], Awaitable[list[MessageRef]]]
ADDRESS = "a@example.com"
SIZE = 6_000_000
CONTENT = b"".join(Generated(SIZE).pieces(0, SIZE))


async def opened(source: FolderSource, messages: Messages) -> FolderContent:
    ref = (await messages())[0]
    return await source.open(ref, (await source.list(ref))[0].id)


async def rest(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_a_file_that_is_cut_short_breaks_the_stream(root: Path, source: FolderSource, messages: Messages) -> None:
    path = deliver(root / ADDRESS, large_message(SIZE))
    content = await opened(source, messages)
    pieces = content.chunks()
    assert await anext(pieces)
    os.truncate(path, 2_000_000)
    with pytest.raises(SourceError):
        await rest(pieces)
    await content.aclose()


async def test_a_file_that_is_written_over_breaks_the_stream(
    root: Path, source: FolderSource, messages: Messages
) -> None:
    path = deliver(root / ADDRESS, large_message(SIZE))
    content = await opened(source, messages)
    pieces = content.chunks()
    assert await anext(pieces)
    with path.open("r+b") as file:
        file.seek(5_000_000)
        file.write(b"AAAA")
    os.utime(path, ns=(0, 0))
    with pytest.raises(SourceError, match="changed"):
        await rest(pieces)
    await content.aclose()


@pytest.mark.parametrize("change", ["delete", "replace", "move"])
async def test_a_file_that_leaves_its_name_is_streamed_to_its_end(
    root: Path, source: FolderSource, messages: Messages, change: str
) -> None:
    path = deliver(root / ADDRESS, large_message(SIZE))
    content = await opened(source, messages)
    pieces = content.chunks()
    got = await anext(pieces)
    if change == "delete":
        path.unlink()
    elif change == "replace":
        other = path.with_name("other")
        other.write_bytes(b"other")
        other.replace(path)
    else:
        path.rename(root / ADDRESS / "cur" / f"{path.name}:2,S")
    assert got + await rest(pieces) == CONTENT
    await content.aclose()


async def test_an_mbox_may_grow_under_a_stream(root: Path, source: FolderSource, messages: Messages) -> None:
    box = root / f"{ADDRESS}.mbox"
    box.write_bytes(b"From a\r\n" + large_message(SIZE).to_bytes())
    content = await opened(source, messages)
    got = b""
    async for piece in content.chunks():
        got += piece
        with box.open("ab") as file:
            file.write(b"\r\nFrom b\r\n" + message_with_files(1, 1, 10).to_bytes())
    assert got == CONTENT
    await content.aclose()


async def test_an_mbox_that_is_rewritten_breaks_the_stream(
    root: Path, source: FolderSource, messages: Messages
) -> None:
    box = root / f"{ADDRESS}.mbox"
    whole = b"From a\r\n" + large_message(SIZE).to_bytes()
    box.write_bytes(whole)
    content = await opened(source, messages)
    pieces = content.chunks()
    assert await anext(pieces)
    box.write_bytes(b"From a\r\n" + message_with_files(1, 1, 10).to_bytes() + b"\r\n" + whole)
    with pytest.raises(SourceError):
        await rest(pieces)
    await content.aclose()


async def test_an_mbox_whose_messages_change_places_breaks_the_stream(
    root: Path, source: FolderSource, messages: Messages
) -> None:
    box = root / f"{ADDRESS}.mbox"
    first, second = (b"From a\r\n" + large_message(SIZE, seed).to_bytes() + b"\r\n" for seed in (1, 2))
    box.write_bytes(first + second)
    content = await opened(source, messages)
    pieces = content.chunks()
    assert await anext(pieces)
    with box.open("r+b") as file:
        file.write(second + first)
    os.utime(box, ns=(0, 0))
    with pytest.raises(SourceError, match="changed"):
        await rest(pieces)
    await content.aclose()


async def test_closing_ends_streams_that_are_under_way(root: Path, source: FolderSource, messages: Messages) -> None:
    deliver(root / ADDRESS, large_message(SIZE))
    content = await opened(source, messages)
    pieces = content.chunks()
    assert await anext(pieces)
    await content.aclose()
    with pytest.raises(SourceError, match="closed"):
        await rest(pieces)
