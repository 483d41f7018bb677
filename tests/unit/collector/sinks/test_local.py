"""The local sink beyond the contract: sidecars, links, a full disk, leftovers and the lock."""

import errno
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from satchel.collector.naming import storage_key
from satchel.collector.sinks.incoming import Sidecar
from satchel.collector.sinks.local import LocalSink
from satchel.collector.sinks.sink import KeyTaken, Provenance, Receipt, SinkUnavailable

PROVENANCE = Provenance(
    message_id="m", attachment_id="a", mailbox="x@example.test", received="", name="ü\u202e.pdf", content_type="a/b"
)
KEY = storage_key("m", "a", "x.pdf")


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def put(root: Path, *parts: bytes) -> Receipt:
    sink = LocalSink(root, threads=1)
    try:
        return await sink.put(KEY, pieces(*parts), PROVENANCE, expected_bytes=None)
    finally:
        await sink.aclose()


async def test_the_sidecar_says_where_it_comes_from(tmp_path: Path) -> None:
    receipt = await put(tmp_path, b"abc")
    sidecar = msgspec.json.decode((tmp_path / f"{KEY}.json").read_bytes(), type=Sidecar)
    assert sidecar == Sidecar(**msgspec.structs.asdict(PROVENANCE), size=3, sha256=receipt.sha256)


async def test_only_the_owner_can_read(tmp_path: Path) -> None:
    root = tmp_path / "files"
    await put(root, b"abc")
    assert {path.stat().st_mode & 0o077 for path in [root, *root.rglob("*")]} == {0}


async def test_a_link_in_place_of_a_folder_leads_nowhere(tmp_path: Path) -> None:
    root, outside = tmp_path / "files", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / KEY.partition("/")[0]).symlink_to(outside, target_is_directory=True)
    with pytest.raises(SinkUnavailable):
        await put(root, b"abc")
    assert list(outside.iterdir()) == []


async def test_a_link_under_the_final_name_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "outside"
    target.write_bytes(b"theirs")
    final = tmp_path / "files" / KEY
    final.parent.mkdir(parents=True)
    final.symlink_to(target)
    with pytest.raises(KeyTaken):
        await put(tmp_path / "files", b"ours")
    assert target.read_bytes() == b"theirs"


async def test_a_file_without_its_sidecar_is_not_taken_for_ours(tmp_path: Path) -> None:
    final = tmp_path / KEY
    final.parent.mkdir(parents=True)
    final.write_bytes(b"half")
    with pytest.raises(KeyTaken) as caught:
        await put(tmp_path, b"whole")
    assert not caught.value.transient
    assert final.read_bytes() == b"half"


async def test_a_sidecar_without_its_file_is_replaced(tmp_path: Path) -> None:
    await put(tmp_path, b"first")
    (tmp_path / KEY).unlink()
    assert not (await put(tmp_path, b"second")).existed
    assert b'"size":6' in (tmp_path / f"{KEY}.json").read_bytes()


async def test_leftovers_of_a_killed_process_go(tmp_path: Path) -> None:
    await put(tmp_path, b"abc")
    (tmp_path / ".incoming" / "0123").write_bytes(b"half")
    sink = LocalSink(tmp_path, threads=1)
    assert await sink.sweep() == 1
    await sink.aclose()
    assert list((tmp_path / ".incoming").iterdir()) == []
    assert (tmp_path / KEY).read_bytes() == b"abc"


async def test_one_collector_at_a_time(tmp_path: Path) -> None:
    first = LocalSink(tmp_path, threads=1)
    with pytest.raises(SinkUnavailable, match="in use by another collector"):
        LocalSink(tmp_path, threads=1)
    await first.aclose()
    await put(tmp_path, b"abc")


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("call", ["writev", "fsync", "link", "rename"])
async def test_a_full_disk_leaves_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, size: int
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    sink = LocalSink(tmp_path, threads=1)
    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(SinkUnavailable, match="disk is full") as caught:
            await sink.put(KEY, pieces(b"x" * size), PROVENANCE, expected_bytes=size)
    assert (caught.value.reason, caught.value.transient) == ("disk_full", True)
    assert not (tmp_path / KEY).exists()
    assert list((tmp_path / ".incoming").iterdir()) == []
    assert not (await sink.put(KEY, pieces(b"x"), PROVENANCE, expected_bytes=1)).existed
    await sink.aclose()


async def test_a_disk_that_takes_a_part_gets_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.writev

    def partly(descriptor: int, buffers: list[memoryview]) -> int:
        return whole(descriptor, [buffers[0][: max(1, len(buffers[0]) // 2)]])

    monkeypatch.setattr(os, "writev", partly)
    await put(tmp_path, b"abcdefg", b"hij")
    assert (tmp_path / KEY).read_bytes() == b"abcdefghij"


@pytest.mark.parametrize("moved", [True, False])
async def test_a_folder_that_is_moved_or_removed_is_made_again(tmp_path: Path, *, moved: bool) -> None:
    sink = LocalSink(tmp_path, threads=1)
    try:
        await sink.put(KEY, pieces(b"first"), PROVENANCE, expected_bytes=None)
        folder = (tmp_path / KEY).parent
        if moved:
            folder.rename(tmp_path / "moved")
        else:
            shutil.rmtree(folder)
        assert not (await sink.put(KEY, pieces(b"second"), PROVENANCE, expected_bytes=None)).existed
    finally:
        await sink.aclose()
    assert (tmp_path / KEY).read_bytes() == b"second"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_it_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(SinkUnavailable, match="no hard links"):
        LocalSink(tmp_path, threads=1)
    assert list((tmp_path / ".incoming").iterdir()) == []
