"""Arrivals by notices that the test gives, on clocks that the test sets."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from satchel.mail.folder.arrivals import Arrivals, Timing
from satchel.mail.folder.emlfolder import EmlFolder
from satchel.mail.folder.ids import Layout
from satchel.mail.folder.maildir import Maildir
from satchel.mail.folder.mbox import Mbox
from satchel.mail.folder.threads import Threads
from satchel.mail.source import Batch, MessageRef, SourceUnavailable
from satchel.testing.mail import deliver

ADDRESS = "a@example.com"
MAIL = b"Subject: x\n\nHi\n"


@dataclass
class Kernel:
    """Notices of changed paths, as many as the test gives; and what was asked to be watched."""

    watched: list[Sequence[Path]] = field(default_factory=list)
    paths: asyncio.Queue[set[str]] = field(default_factory=asyncio.Queue)
    broken: bool = False

    async def changes(self, folders: Sequence[Path], stop: asyncio.Event) -> AsyncIterator[set[str]]:
        self.watched.append(folders)
        if self.broken:
            raise OSError(28, "inotify watch limit reached")
        while not stop.is_set():
            getting = asyncio.ensure_future(self.paths.get())
            stopping = asyncio.ensure_future(stop.wait())
            await asyncio.wait({getting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for each in (getting, stopping):
                each.cancel()
            if getting.done() and not getting.cancelled():
                yield getting.result()

    def notice(self, *paths: Path) -> None:
        self.paths.put_nowait({str(path) for path in paths})


@dataclass
class Clock:
    seconds: float = 2_000_000_000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Watching:
    root: Path
    kernel: Kernel
    clock: Clock
    batches: AsyncGenerator[Batch]

    async def first_pass(self) -> list[str]:
        found: list[str] = []
        async for batch in self.batches:
            found.extend(name_of(ref) for ref in batch.messages)
            if batch.ends_first_pass:
                break
        return found

    async def next(self) -> list[str]:
        return [name_of(ref) for ref in (await anext(self.batches)).messages]


def name_of(ref: MessageRef) -> str:
    return ref.locator.split("/")[2]


@asynccontextmanager
async def watching(root: Path, *, rescan_seconds: float = 1e9, batch_size: int = 500) -> AsyncIterator[Watching]:
    kernel, clock, threads = Kernel(), Clock(), Threads(1)
    layouts = {Layout.MAILDIR: Maildir(root), Layout.EML: EmlFolder(root), Layout.MBOX: Mbox(root)}
    timing = Timing(0.0, rescan_seconds, batch_size, now=clock, steady=clock)
    arrivals = Arrivals(root, layouts, threads, kernel.changes, timing)
    async with aclosing(arrivals.batches()) as batches:
        yield Watching(root, kernel, clock, batches)
    threads.close()


async def test_the_first_pass_comes_in_batches(root: Path) -> None:
    names = {deliver(root / ADDRESS, MAIL).name for _ in range(7)}
    async with watching(root, batch_size=3) as watch:
        batches = []
        async for batch in watch.batches:
            batches.append([name_of(ref) for ref in batch.messages])
            if batch.ends_first_pass:
                assert batch.read_to_end == {ADDRESS}
                assert batch.rest_is_new
                break
    assert [len(batch) for batch in batches] == [3, 3, 1, 0]
    assert {name for batch in batches for name in batch} == names


async def test_the_kernel_is_asked_before_the_first_look(root: Path) -> None:
    deliver(root / ADDRESS, MAIL)
    (root / "b@example.com").mkdir()
    (root / "c@example.com.mbox").touch()
    async with watching(root) as watch:
        await watch.first_pass()
        maildir = root / ADDRESS
        assert watch.kernel.watched == [[root, maildir, maildir / "new", maildir / "cur", root / "b@example.com"]]


async def test_a_notice_brings_the_message_and_brings_it_once(root: Path) -> None:
    old = deliver(root / ADDRESS, MAIL)
    async with watching(root) as watch:
        assert await watch.first_pass() == [old.name]
        new = deliver(root / ADDRESS, MAIL)
        read = old.rename(root / ADDRESS / "cur" / f"{old.name}:2,S")
        watch.kernel.notice(read, new, root / ADDRESS / "new" / "gone")
        assert await watch.next() == [new.name]
        last = deliver(root / ADDRESS, MAIL)
        watch.kernel.notice(new, read, last)
        assert await watch.next() == [last.name]


async def test_notices_of_links_and_of_other_places_bring_nothing(root: Path, tmp_path: Path) -> None:
    deliver(root / ADDRESS, MAIL)
    async with watching(root) as watch:
        await watch.first_pass()
        link = root / ADDRESS / "new" / "link"
        link.symlink_to(tmp_path / "x.eml")
        (tmp_path / "x.eml").write_bytes(MAIL)
        (root / ADDRESS / "tmp" / "1").write_bytes(MAIL)
        watch.kernel.notice(link, root / ADDRESS / "tmp" / "1", tmp_path / "x.eml", root / ADDRESS / "new" / ".." / "x")
        new = deliver(root / ADDRESS, MAIL)
        watch.kernel.notice(new)
        assert await watch.next() == [new.name]


async def test_a_new_mailbox_is_looked_through_and_watched(root: Path) -> None:
    async with watching(root) as watch:
        assert await watch.first_pass() == []
        new = deliver(root / ADDRESS, MAIL)
        watch.kernel.notice(root / ADDRESS)
        assert await watch.next() == [new.name]
        assert root / ADDRESS / "new" in watch.kernel.watched[-1]


async def test_a_folder_that_becomes_a_maildir_is_one(root: Path) -> None:
    (root / ADDRESS).mkdir()
    async with watching(root) as watch:
        assert await watch.first_pass() == []
        new = deliver(root / ADDRESS, MAIL)
        watch.kernel.notice(root / ADDRESS / "cur")
        assert await watch.next() == [new.name]


async def test_what_no_notice_told_of_is_found_by_the_regular_look(root: Path) -> None:
    old = deliver(root / ADDRESS, MAIL)
    async with watching(root, rescan_seconds=0.0) as watch:
        assert await watch.first_pass() == [old.name]
        new = deliver(root / ADDRESS, MAIL)
        assert await watch.next() == [new.name]


async def test_too_many_notices_make_for_a_look_at_everything(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("satchel.mail.folder.notices._MAX_PATHS", 2)
    deliver(root / ADDRESS, MAIL)
    async with watching(root) as watch:
        await watch.first_pass()
        new = deliver(root / ADDRESS, MAIL)
        watch.kernel.notice(*(root / ADDRESS / "new" / str(number) for number in range(3)))
        assert await watch.next() == [new.name]


async def test_where_the_kernel_cannot_watch_it_looks_every_second(root: Path) -> None:
    async with watching(root) as watch:
        watch.kernel.broken = True
        assert await watch.first_pass() == []
        new = deliver(root / ADDRESS, MAIL)
        waiting = asyncio.ensure_future(watch.next())
        await asyncio.sleep(0)
        watch.clock.seconds += 1.0
        assert await waiting == [new.name]


async def test_a_mailbox_that_cannot_be_read_keeps_no_other_from_being_seen(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(root / ADDRESS, MAIL)
    other = deliver(root / "b@example.com", MAIL)
    state = Maildir.state

    def refused(self: Maildir, entry: bytes) -> Sequence[int]:
        if entry == ADDRESS.encode():
            raise PermissionError(13, "Permission denied")
        return state(self, entry)

    monkeypatch.setattr(Maildir, "state", refused)
    async with watching(root) as watch:
        assert await watch.first_pass() == [other.name]


async def test_a_root_that_goes_away_ends_the_watch(root: Path) -> None:
    async with watching(root, rescan_seconds=0.0) as watch:
        assert await watch.first_pass() == []
        root.rename(root.with_name("unmounted"))
        with pytest.raises(SourceUnavailable):
            await watch.next()


async def test_a_file_that_is_still_written_waits_until_it_rests(root: Path) -> None:
    (root / ADDRESS).mkdir()
    kernel, clock, threads = Kernel(), Clock(), Threads(1)
    timing = Timing(0.5, 1e9, 500, now=lambda: 0.0, steady=clock)
    arrivals = Arrivals(root, {Layout.EML: EmlFolder(root)}, threads, kernel.changes, timing)
    async with aclosing(arrivals.batches()) as batches:
        watch = Watching(root, kernel, clock, batches)
        assert await watch.first_pass() == []
        file = root / ADDRESS / "1.eml"
        file.write_bytes(MAIL)
        kernel.notice(file)
        waiting = asyncio.ensure_future(watch.next())
        await taken_in(arrivals)
        file.write_bytes(MAIL + MAIL)
        clock.seconds += 0.6
        kernel.notice(file)
        await asyncio.wait({waiting}, timeout=0.05)
        assert not waiting.done()
        clock.seconds += 0.6
        kernel.notice(file)
        assert await waiting == ["1.eml"]
    threads.close()


async def taken_in(arrivals: Arrivals) -> None:
    while not len(arrivals._settling):
        await asyncio.sleep(0.001)


async def test_the_last_message_of_an_mbox_counts_when_the_next_one_comes(root: Path) -> None:
    box = root / f"{ADDRESS}.mbox"
    box.write_bytes(b"From a\nMessage-ID: <1@x>\n\nHi\n")
    kernel, clock, threads = Kernel(), Clock(), Threads(1)
    timing = Timing(1e6, 1e9, 500, now=lambda: 0.0, steady=clock)
    arrivals = Arrivals(root, {Layout.MBOX: Mbox(root)}, threads, kernel.changes, timing)
    async with aclosing(arrivals.batches()) as batches:
        watch = Watching(root, kernel, clock, batches)
        assert await watch.first_pass() == []
        for number in (2, 3):
            with box.open("ab") as file:
                file.write(b"\nFrom a\nMessage-ID: <%d@x>\n\nHi\n" % number)
            kernel.notice(box)
            assert len(await watch.next()) == 1
    threads.close()
