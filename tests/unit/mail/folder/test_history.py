"""The past of a mail folder where some of it cannot be read, or is still being written."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from satchel.mail.folder import maildir
from satchel.mail.folder.mbox import Mbox
from satchel.mail.folder.source import FolderSource
from satchel.mail.source import MessageNotFound, MessageRef, MessageSummary, SourceUnavailable

MAILBOX = "invoices@example.com"
EVER = {"since": datetime(1971, 1, 1, tzinfo=UTC), "until": datetime(2100, 1, 1, tzinfo=UTC)}
NOW = 1_800_000_000.0


class Unlucky(FolderSource):
    """Two messages make trouble when they are described: one is on a bad sector, one is gone by then."""

    async def describe(self, message: MessageRef) -> MessageSummary:
        if "bad" in message.locator:
            raise SourceUnavailable("The mail folder cannot be read (Input/output error).")
        if "gone" in message.locator:
            raise MessageNotFound("The message is not in its mailbox any more.")
        return await super().describe(message)


def put(root: Path, name: str, age_seconds: float = 60) -> None:
    folder = root / MAILBOX
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.eml").write_bytes(f"Subject: {name}\r\n\r\nHi\r\n".encode())
    os.utime(folder / f"{name}.eml", (NOW - age_seconds, NOW - age_seconds))


async def test_all_that_can_be_read_comes_before_the_failure(tmp_path: Path) -> None:
    for number in range(250):
        put(tmp_path, str(number))
    put(tmp_path, "bad")
    put(tmp_path, "gone")
    source = Unlucky(tmp_path, now=lambda: NOW)
    batches, found = source.history(MAILBOX, **EVER), []
    for _ in range(2):
        found += [each.subject for each in await anext(batches)]
    with pytest.raises(SourceUnavailable, match="1 messages"):
        await anext(batches)
    assert sorted(found, key=int) == [str(number) for number in range(250)]
    await source.aclose()


async def test_what_is_still_being_written_is_left_to_the_watch(tmp_path: Path) -> None:
    put(tmp_path, "whole")
    put(tmp_path, "half", age_seconds=0.1)
    source = FolderSource(tmp_path, settle_seconds=0.5, now=lambda: NOW)
    assert [[each.subject for each in batch] async for batch in source.history(MAILBOX, **EVER)] == [["whole"]]
    await source.aclose()


async def test_a_root_that_is_not_there_is_no_empty_mailbox(tmp_path: Path) -> None:
    source = FolderSource(tmp_path / "unmounted")
    with pytest.raises(SourceUnavailable):
        await anext(source.history(MAILBOX, **EVER))
    await source.aclose()


async def test_messages_with_rare_flags_are_not_searched_for_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each search reads all names of the mailbox: 100,000 of them took hours."""

    def search(key: bytes, fd: int) -> None:
        raise AssertionError("searched")

    monkeypatch.setattr(maildir, "_search", search)
    for part in ("new", "cur", "tmp"):
        (tmp_path / MAILBOX / part).mkdir(parents=True)
    for number in range(450):
        (tmp_path / MAILBOX / "cur" / f"{number}.host:2,Sa").write_bytes(b"Subject: x\r\n\r\n")
    source = FolderSource(tmp_path)
    assert sum([len(batch) async for batch in source.history(MAILBOX, **EVER)]) == 450
    await source.aclose()


def test_who_looks_through_an_mbox_takes_no_change_from_who_is_told_of_changes(tmp_path: Path) -> None:
    path, entry, mbox = tmp_path / "a@example.com.mbox", b"a@example.com.mbox", Mbox(tmp_path)
    path.write_bytes(b"From a\nSubject: 1\n\n")
    assert len(list(mbox.changed(entry, []))) == 1
    path.write_bytes(path.read_bytes() + b"From a\nSubject: 2\n\nFrom a\nSubject: 3\n\n")
    new = [sighting.place.key for sighting in mbox.sightings(entry)][1:]
    assert {sighting.place.key for sighting in mbox.changed(entry, [])} >= set(new)
    assert len(new) == 2
