"""What is the folder's own, beyond the suite that every source passes."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from satchel.mail.folder import readings
from satchel.mail.folder import source as source_module
from satchel.mail.folder.files import translate
from satchel.mail.folder.source import FolderSource
from satchel.mail.mime import Bounds, FoundAttachment, SizeIndex, measure
from satchel.mail.source import (
    AttachmentNotFound,
    BrokenMessage,
    MessageNotFound,
    MessageRef,
    SourceUnavailable,
)
from satchel.testing.content import Given
from satchel.testing.mail import deliver, file_part, large_message, message, message_with_files

Messages = Callable[[], Awaitable[list[MessageRef]]]
ADDRESS = "a@example.com"


async def etag(source: FolderSource, ref: MessageRef, at: int = 0) -> str | None:
    content = await source.open(ref, (await source.list(ref))[at].id)
    await content.aclose()
    return content.etag


async def test_a_maildir_message_keeps_its_ids_through_flags_and_moves(
    root: Path, source: FolderSource, messages: Messages
) -> None:
    path = deliver(root / ADDRESS, message_with_files(1, 1, 1_000))
    (ref,) = await messages()
    listed, tag = await source.list(ref), await etag(source, ref)
    for name in ("cur/{}:2,", "cur/{}:2,S", "cur/{}:2,FRSabc", "new/{}:2,", "cur/{}", "new/{}"):
        path = path.rename(root / ADDRESS / name.format(path.name.partition(":")[0]))
        assert await messages() == [ref]
        assert await source.list(ref) == listed
        assert await etag(source, ref) == tag


async def test_names_that_begin_alike_are_told_apart(root: Path, source: FolderSource, messages: Messages) -> None:
    deliver(root / ADDRESS, b"Subject: long\n\n").rename(root / ADDRESS / "cur" / "17.ab:2,Fa")
    deliver(root / ADDRESS, b"Subject: short\n\n").rename(root / ADDRESS / "cur" / "17.a:2,Fa")
    subjects = {ref.locator: (await source.describe(ref)).subject for ref in await messages()}
    assert subjects == {f"maildir/{ADDRESS}/17.ab": "long", f"maildir/{ADDRESS}/17.a": "short"}


async def test_only_finished_messages_of_a_maildir_count(root: Path, messages: Messages) -> None:
    path = deliver(root / ADDRESS, b"Subject: x\n\n")
    for name in ("tmp/1.2.3", "new/.hidden", "cur/.nfs0001", "loose"):
        (root / ADDRESS / name).write_bytes(b"Subject: y\n\n")
    (root / ADDRESS / "new" / "folder").mkdir()
    assert [ref.locator for ref in await messages()] == [f"maildir/{ADDRESS}/{path.name}"]


async def test_eml_files_right_in_the_folder_count(root: Path, messages: Messages) -> None:
    folder = root / ADDRESS
    (folder / "nested").mkdir(parents=True)
    for name in ("1.eml", "2.EML", "3.txt", ".4.eml", "5.eml.tmp", "nested/6.eml"):
        (folder / name).write_bytes(b"Subject: x\n\n")
    assert sorted(ref.locator for ref in await messages()) == [f"eml/{ADDRESS}/1.eml", f"eml/{ADDRESS}/2.EML"]


async def test_two_spellings_are_one_mailbox(root: Path, source: FolderSource, messages: Messages) -> None:
    for spelling in (ADDRESS, "A@Example.COM"):
        (root / spelling).mkdir()
        (root / spelling / "1.eml").write_bytes(b"Subject: %s\n\n" % spelling.encode())
    found = await messages()
    assert await source.mailboxes() == [ADDRESS]
    assert {ref.mailbox for ref in found} == {ADDRESS}
    assert {(await source.describe(ref)).subject for ref in found} == {ADDRESS, "A@Example.COM"}


async def test_links_out_of_the_mailbox_are_never_followed(
    root: Path, tmp_path: Path, source: FolderSource, messages: Messages
) -> None:
    secret = tmp_path / "secret.eml"
    secret.write_bytes(message("secret", "Secret", [file_part("s.txt", "application/x", Given(b"s"))]).to_bytes())
    eml, maildir = root / ADDRESS, root / "b@example.com"
    eml.mkdir()
    (eml / "1.eml").write_bytes(secret.read_bytes())
    path = deliver(maildir, secret.read_bytes())
    refs = await messages()
    for file in (eml / "1.eml", path, root / "c@example.com.mbox"):
        file.unlink(missing_ok=True)
        file.symlink_to(secret)
    assert await messages() == []
    for ref in refs:
        with pytest.raises(MessageNotFound):
            await source.list(ref)
    for part in ("new", "cur"):
        (maildir / part).rename(tmp_path / part)
        (maildir / part).symlink_to(tmp_path / part, target_is_directory=True)
    (tmp_path / "new" / "1").write_bytes(b"Subject: x\n\n")
    assert await messages() == []


async def test_a_fifo_in_a_messages_place_does_not_hang(root: Path, source: FolderSource, messages: Messages) -> None:
    (root / ADDRESS).mkdir()
    (root / ADDRESS / "1.eml").write_bytes(b"Subject: x\n\n")
    path = deliver(root / "b@example.com", b"Subject: y\n\n")
    refs = await messages()
    for file in (root / ADDRESS / "1.eml", path):
        file.unlink()
        os.mkfifo(file)
    os.mkfifo(root / "c@example.com.mbox")
    assert await messages() == []
    for ref in refs:
        with pytest.raises(MessageNotFound):
            await source.list(ref)


async def test_an_attachment_that_changed_since_the_list_is_not_found(
    root: Path, source: FolderSource, messages: Messages
) -> None:
    (root / ADDRESS).mkdir()
    file = root / ADDRESS / "1.eml"
    file.write_bytes(message_with_files(1, 2, 1_000).to_bytes())
    (ref,) = await messages()
    first, second = await source.list(ref)
    file.write_bytes(message_with_files(1, 1, 1_010).to_bytes())
    for gone in (first, second):
        with pytest.raises(AttachmentNotFound):
            await source.open(ref, gone.id)


async def test_other_bytes_of_the_same_length_have_another_etag(
    root: Path, source: FolderSource, messages: Messages
) -> None:
    (root / ADDRESS).mkdir()
    file = root / ADDRESS / "1.eml"
    whole = message("m", "M", [file_part("x.bin", "application/x", Given(b"x" * 600))]).to_bytes()
    box = root / "b@example.com.mbox"
    tags = set()
    for number, content in enumerate((whole, whole.replace(b"eHh4", b"eXl5"))):
        file.write_bytes(content)
        box.write_bytes(b"From a\r\n" + content)
        for each in (file, box):
            os.utime(each, ns=(0, 10**18 + number))
        for ref in await messages():
            tags.add(await etag(source, ref))
    assert len(tags) == 4


async def test_an_mbox_that_grows_keeps_ids_and_etags(root: Path, source: FolderSource, messages: Messages) -> None:
    box = root / f"{ADDRESS}.mbox"
    box.write_bytes(b"From a\r\n" + message_with_files(1, 1, 5_000).to_bytes())
    (ref,) = await messages()
    listed, tag = await source.list(ref), await etag(source, ref)
    with box.open("ab") as file:
        file.write(b"\r\nFrom b\r\n" + message_with_files(2, 1, 5_000).to_bytes())
    assert len(await messages()) == 2
    assert [each.id for each in await source.list(ref)] == [each.id for each in listed]
    assert await etag(source, ref) == tag


async def test_an_mbox_message_is_found_after_it_moved(root: Path, source: FolderSource, messages: Messages) -> None:
    box = root / f"{ADDRESS}.mbox"
    first, second = (b"From a\r\n" + message_with_files(number, 1, 500).to_bytes() for number in (1, 2))
    box.write_bytes(first + b"\r\n" + second)
    refs = await messages()
    box.write_bytes(second)
    os.utime(box, ns=(0, 0))
    with pytest.raises(MessageNotFound):
        await source.list(refs[0])
    (listed,) = await source.list(refs[1])
    assert listed.name == "file-2-0.bin"


@pytest.mark.parametrize(("header", "year"), [(b"Received: x; 1 Jan 2001 00:00 +0000\r\n", 2001), (b"", 2033)])
async def test_received_is_the_servers_date_or_the_files_time(
    root: Path, source: FolderSource, messages: Messages, header: bytes, year: int
) -> None:
    path = deliver(root / ADDRESS, header + b"Received: y; 1 Jan 1999 00:00 +0000\r\n" * bool(header) + b"\r\n")
    when = datetime(2033, 5, 6, tzinfo=UTC)
    os.utime(path, (when.timestamp(), when.timestamp()))
    (ref,) = await messages()
    assert (await source.describe(ref)).received.year == year


async def test_received_in_an_mbox_is_the_date_and_not_the_files_time(
    root: Path, source: FolderSource, messages: Messages
) -> None:
    part = file_part("x.pdf", "application/pdf", Given(b"x"))
    (root / f"{ADDRESS}.mbox").write_bytes(b"From a\r\n" + message("m", "M", [part]).to_bytes())
    (ref,) = await messages()
    when = datetime(2025, 6, 2, 9, 30, tzinfo=UTC)
    assert (await source.describe(ref)).received == when
    assert (await source.list(ref))[0].last_modified == when


async def test_a_message_beyond_the_bounds_arrives_and_says_so(root: Path, messages: Messages) -> None:
    deliver(root / ADDRESS, message_with_files(1, 5, 10))
    (ref,) = await messages()
    strict = FolderSource(root, bounds=Bounds(max_parts=3))
    try:
        summary = await strict.describe(ref)
        assert (summary.subject, summary.has_attachments) == ("Files 1", True)
        with pytest.raises(BrokenMessage):
            await strict.list(ref)
        with pytest.raises(BrokenMessage):
            await strict.open(ref, "A")
    finally:
        await strict.aclose()


async def test_without_its_root_nothing_is_known_to_be_gone(
    root: Path, source: FolderSource, messages: Messages
) -> None:
    deliver(root / ADDRESS, b"Subject: x\n\n")
    (ref,) = await messages()
    root.rename(root.with_name("unmounted"))
    for call in (source.list(ref), source.describe(ref), source.open(ref, "A"), source.mailboxes()):
        with pytest.raises(SourceUnavailable) as caught:
            await call
        assert caught.value.transient
    with pytest.raises(SourceUnavailable):
        await messages()


@pytest.mark.parametrize(
    ("number", "kind"), [(2, MessageNotFound), (40, MessageNotFound), (5, SourceUnavailable), (13, SourceUnavailable)]
)
def test_errors_of_the_disk_are_permanent_or_transient(number: int, kind: type[Exception]) -> None:
    assert isinstance(translate(OSError(number, os.strerror(number))), kind)


async def test_a_call_that_is_cancelled_leaves_no_file_open(
    root: Path, source: FolderSource, messages: Messages
) -> None:
    deliver(root / ADDRESS, large_message(1_000_000))
    (ref,) = await messages()
    (listed,) = await source.list(ref)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        opening = asyncio.ensure_future(source.open(ref, listed.id))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    await source.aclose()
    assert await no_more_open_files_than(before)


async def no_more_open_files_than(count: int) -> bool:
    for _ in range(1_000):
        if len(list(Path("/proc/self/fd").iterdir())) <= count:
            return True
        await asyncio.sleep(0.001)
    return False


async def test_a_closed_source_is_unavailable(root: Path, messages: Messages, source: FolderSource) -> None:
    deliver(root / ADDRESS, b"Subject: x\n\n")
    (ref,) = await messages()
    await source.aclose()
    with pytest.raises(SourceUnavailable):
        await source.list(ref)


class Gate:
    """Stands before the counting of a body: lets nobody through until it is opened, and counts who came."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.came = 0
        self.opened = threading.Event()
        monkeypatch.setattr(readings, "measure", self._measure)

    def _measure(self, fd: int, found: FoundAttachment) -> SizeIndex:
        self.came += 1
        assert self.opened.wait(30)
        return measure(fd, found)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.opened.set()


async def test_calls_that_wait_for_one_message_hold_no_threads(
    root: Path, source: FolderSource, messages: Messages, gate: Gate
) -> None:
    deliver(root / ADDRESS, message_with_files(1, 1, 1_000))
    (ref,) = await messages()
    calls = [asyncio.ensure_future(source.list(ref)) for _ in range(50)]
    assert (await source.describe(ref)).subject == "Files 1"
    for call in calls[:25]:
        call.cancel()
    await asyncio.sleep(0)
    assert (await source.describe(ref)).subject == "Files 1"
    gate.opened.set()
    assert [each.size for (each,) in await asyncio.gather(*calls[25:])] == [1_000] * 25
    assert gate.came == 1


async def test_long_messages_leave_threads_to_the_others(
    root: Path, messages: Messages, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "_SHORT_BYTES", 10_000)
    source = FolderSource(root, settle_seconds=0.0)
    for number in range(20):
        deliver(root / ADDRESS, message_with_files(number, 1, 20_000))
    deliver(root / "b@example.com", b"Subject: short\n\n")
    refs = await messages()
    short = next(ref for ref in refs if ref.mailbox != ADDRESS)
    calls = [asyncio.ensure_future(source.list(ref)) for ref in refs if ref != short]
    while not gate.came:
        await asyncio.sleep(0)
    assert (await source.describe(short)).subject == "short"
    gate.opened.set()
    assert [each.size for (each,) in await asyncio.gather(*calls)] == [20_000] * 20
    await source.aclose()
