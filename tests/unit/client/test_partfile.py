"""A file is there whole or not at all."""

import asyncio
import errno
import hashlib
import os
from pathlib import Path

import pytest

from satchel.client import AlreadyExists
from satchel.client.partfile import PartFile

PIECES = [bytes([number]) * 300_000 for number in range(12)]
WHOLE = b"".join(PIECES)


async def test_it_appears_with_its_digest_and_leaves_no_temporary(tmp_path: Path) -> None:
    async with PartFile(tmp_path / "a") as part:
        for piece in PIECES:
            await part.write(piece)
        assert not (tmp_path / "a").exists()
        assert part.size == len(WHOLE)
        assert await part.finish() == hashlib.sha256(WHOLE).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == WHOLE


async def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    async with PartFile(tmp_path / "a") as part:
        assert await part.finish() == hashlib.sha256(b"").hexdigest()
    assert (tmp_path / "a").read_bytes() == b""


async def test_without_finish_nothing_is_left(tmp_path: Path) -> None:
    async with PartFile(tmp_path / "a") as part:
        for piece in PIECES:
            await part.write(piece)
    assert list(tmp_path.iterdir()) == []


async def test_cancelled_in_the_middle_nothing_is_left(tmp_path: Path) -> None:
    started = asyncio.Event()

    async def write_for_ever() -> None:
        async with PartFile(tmp_path / "a") as part:
            while True:
                await part.write(PIECES[0])
                started.set()

    task = asyncio.create_task(write_for_ever())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []


async def test_restart_forgets_what_was_there(tmp_path: Path) -> None:
    async with PartFile(tmp_path / "a") as part:
        for piece in PIECES:
            await part.write(piece)
        await part.restart()
        assert part.size == 0
        await part.write(b"new")
        assert await part.finish() == hashlib.sha256(b"new").hexdigest()
    assert (tmp_path / "a").read_bytes() == b"new"


async def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(AlreadyExists, match="exists already"):
        async with PartFile(tmp_path / "a"):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


async def test_a_file_that_appears_meanwhile_stays_as_it_is(tmp_path: Path) -> None:
    async with PartFile(tmp_path / "a") as part:
        await part.write(b"mine")
        (tmp_path / "a").write_bytes(b"theirs")
        with pytest.raises(AlreadyExists):
            await part.finish()
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


async def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AlreadyExists):
        async with PartFile(tmp_path / "a"):
            pass
    assert not (tmp_path / "elsewhere").exists()


async def test_overwrite_replaces(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    async with PartFile(tmp_path / "a", overwrite=True) as part:
        await part.write(b"new")
        await part.finish()
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


async def test_without_hard_links_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    async with PartFile(tmp_path / "a") as part:
        await part.write(b"new")
        await part.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with pytest.raises(AlreadyExists):
        async with PartFile(tmp_path / "a") as part:
            pass


async def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    async with PartFile(tmp_path / "a") as part:
        await part.write(WHOLE)
        with pytest.raises(OSError, match="No space left"):
            await part.finish()
    assert list(tmp_path.iterdir()) == []


async def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with PartFile(tmp_path / "missing" / "a"):
            pass
