"""The archive call: its headers, what is in it, and bodies that break (contract section 5)."""

import asyncio
import io
import json
import threading
import zipfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from satchel.contract.attachments import Attachment, AttachmentType
from satchel.contract.routes import DOWNLOAD_ARCHIVE, DOWNLOAD_ATTACHMENT
from satchel.gateway.limits.downloads import Downloads
from satchel.mail.source import MessageRef, SourceUnavailable
from tests.unit.gateway.conftest import MakeApp, MakeKey
from tests.unit.gateway.fakes import Answer, MemoryContent, MemorySource, attachment, call

PATH = DOWNLOAD_ARCHIVE.url(message_id="m1")
LARGE = bytes(range(256)) * 400
Archive = Callable[..., Awaitable[Answer]]


def file(file_id: str, *pieces: bytes | Exception, **changes: Any) -> MemoryContent:
    data = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    return MemoryContent(attachment(file_id, data, **changes), list(pieces), len(data))


@pytest.fixture
def files(source: MemorySource, make_key: MakeKey, index: Callable[..., None]) -> dict[str, MemoryContent]:
    index("m1")
    contents = [
        file("a1", LARGE),
        file("a2", b"second", name="INVOICE.pdf"),
        file("n1", b"", name="mail", attachment_type=AttachmentType.ITEM.value),
        file("a3", LARGE, b"end", name="../x.txt", content_type="text/plain"),
    ]
    source.files["m1"] = {content.attachment.id: content for content in contents}
    return source.files["m1"]


@pytest.fixture
def archive(files: dict[str, MemoryContent], make_key: MakeKey, make_app: MakeApp) -> Archive:
    app, key = make_app(), make_key()

    def fetch(headers: dict[str, str] | None = None, **arguments: Any) -> Awaitable[Answer]:
        return call(app, PATH, headers={"authorization": f"Bearer {key}", **(headers or {})}, **arguments)

    return fetch


def opened(answer: Answer) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


async def test_all_files_and_a_manifest(files: dict[str, MemoryContent], archive: Archive) -> None:
    answer = await archive({"x-request-id": "r"})
    assert (answer.status, answer.complete) == (200, True)
    assert answer.headers == {
        "content-type": "application/zip",
        "content-disposition": 'attachment; filename="attachments.zip"',
        "x-content-type-options": "nosniff",
        "accept-ranges": "none",
        "x-request-id": "r",
    }
    members = opened(answer)
    manifest = json.loads(members.pop("manifest.json"))
    assert members == {"invoice.pdf": LARGE, "INVOICE (2).pdf": b"second", "___x.txt": LARGE + b"end"}
    assert [each["path"] for each in manifest["attachments"]] == ["invoice.pdf", "INVOICE (2).pdf", None, "___x.txt"]
    assert [content.closed for content in files.values()] == [1, 1, 0, 1]


async def test_ranges_and_conditions_are_not_known_to_archives(archive: Archive) -> None:
    answer = await archive({"range": "bytes=0-1", "if-none-match": "*"})
    assert answer.status == 200
    opened(answer)


async def test_the_length_is_told_where_nothing_is_compressed(
    files: dict[str, MemoryContent], archive: Archive
) -> None:
    del files["a3"]
    answer = await archive()
    assert answer.headers["content-length"] == str(len(answer.body))
    head = await archive(method="HEAD")
    assert (head.status, head.body, head.headers) == (200, b"", {**answer.headers, **_request_id(head)})


def _request_id(answer: Answer) -> dict[str, str]:
    return {"x-request-id": answer.headers["x-request-id"]}


async def test_head_reads_nothing(files: dict[str, MemoryContent], archive: Archive) -> None:
    files["a1"].pieces = [AssertionError("was read")]
    answer = await archive(method="HEAD")
    assert (answer.status, "content-length" in answer.headers) == (200, False)
    assert files["a1"].closed == 1


async def test_a_small_archive_is_whole_before_its_answer_begins(
    source: MemorySource, files: dict[str, MemoryContent], archive: Archive
) -> None:
    source.files["m1"] = {"a": file("a", b"1", name="a.txt", content_type="text/plain"), "b": file("b", b"2")}
    answer = await archive(http_version="1.0")
    assert answer.headers["content-length"] == str(len(answer.body))
    source.files["m1"]["b"].pieces = [SourceUnavailable("gone")]
    assert (await archive()).status == 503


async def test_no_files_give_a_manifest_alone(
    source: MemorySource, files: dict[str, MemoryContent], archive: Archive
) -> None:
    source.files["m1"] = {"n1": files["n1"]}
    assert list(opened(await archive())) == ["manifest.json"]
    source.files["m1"] = {}
    assert list(opened(await archive())) == ["manifest.json"]


async def test_an_unknown_length_is_not_sent_where_a_break_would_look_like_the_end(
    files: dict[str, MemoryContent], archive: Archive
) -> None:
    answer = await archive(http_version="1.0")
    assert (answer.status, answer.headers["content-type"]) == (505, "application/json")
    assert files["a1"].closed == 1


async def test_what_fails_at_the_first_file_is_answered_as_a_failure(
    files: dict[str, MemoryContent], archive: Archive
) -> None:
    files["a1"].pieces = [SourceUnavailable("gone")]
    answer = await archive()
    assert (answer.status, answer.headers["content-type"], answer.complete) == (503, "application/json", True)
    assert files["a1"].closed == 1


@pytest.mark.parametrize(
    "pieces",
    [
        [LARGE, SourceUnavailable("broken")],
        [LARGE],
        [LARGE, b"end", b"more"],
        [LARGE, ZeroDivisionError("a defect")],
    ],
)
@pytest.mark.parametrize("is_sized", [True, False])
async def test_an_archive_that_breaks_never_looks_complete(
    files: dict[str, MemoryContent], archive: Archive, pieces: list[bytes | Exception], is_sized: bool
) -> None:
    if is_sized:
        files["a3"].attachment = attachment("a3", LARGE + b"end")
    files["a3"].pieces, files["a3"].is_careless = pieces, True
    with capture_logs() as logs:
        answer = await archive()
    assert (answer.status, answer.complete, "content-length" in answer.headers) == (200, False, is_sized)
    with pytest.raises(zipfile.BadZipFile):
        opened(answer)
    assert [content.closed for content in files.values()] == [1, 1, 0, 1]
    is_defect = any(isinstance(piece, ZeroDivisionError) for piece in pieces)
    assert [line["event"] for line in logs if line["log_level"] != "info"] == [
        "call_failed" if is_defect else "answer_broken_off"
    ]


async def test_a_file_that_is_gone_when_its_turn_comes_breaks_the_archive(
    source: MemorySource, files: dict[str, MemoryContent], archive: Archive
) -> None:
    files["a1"].pieces = [LARGE, LARGE]
    files["a1"].size = 2 * len(LARGE)
    files["a1"].attachment = attachment("a1", LARGE + LARGE)
    files["a2"].attachment = attachment("a2", b"", attachment_type=AttachmentType.FILE.value)
    answer = await archive()
    assert (answer.status, answer.complete) == (200, False)


async def test_listed_sizes_that_are_no_promise_do_no_harm(
    source: MemorySource, files: dict[str, MemoryContent], archive: Archive
) -> None:
    source.lists_exact_sizes = False
    files["a1"].attachment = attachment("a1", LARGE + b"overhead")
    files["a2"].size = None
    answer = await archive()
    assert opened(answer)["invoice.pdf"] == LARGE
    assert "content-length" not in answer.headers


async def test_a_client_that_leaves_ends_the_reading(files: dict[str, MemoryContent], archive: Archive) -> None:
    files["a1"].pieces, files["a1"].size, files["a1"].stalls_at = [LARGE, LARGE], 2 * len(LARGE), 1
    files["a1"].attachment = attachment("a1", LARGE + LARGE)
    answer = await archive(leave_after_bytes=1)
    assert (answer.status, answer.complete) == (200, False)
    assert [content.closed for content in files.values()] == [1, 0, 0, 0]


async def test_more_archives_than_allowed_are_refused(
    files: dict[str, MemoryContent], make_key: MakeKey, make_app: MakeApp
) -> None:
    archives = Downloads(per_key=1, in_all=2)
    app, (one, other) = make_app(archives=archives), [{"authorization": f"Bearer {make_key()}"} for _ in range(2)]
    files["a3"].stalls_at = 1
    running = asyncio.create_task(call(app, PATH, headers=one))
    while not files["a2"].closed:
        await asyncio.sleep(0)
    refused = await call(app, PATH, headers=one)
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert b'"reason":"too_many_downloads"' in refused.body
    # Another key is not kept waiting by it, and a file is no archive.
    assert (await call(app, PATH, method="HEAD", headers=other)).status == 200
    file_path = DOWNLOAD_ATTACHMENT.url(message_id="m1", attachment_id="a2")
    assert (await call(app, file_path, headers=one)).status == 200
    running.cancel()
    await asyncio.wait({running})
    files["a3"].stalls_at = None
    assert (await call(app, PATH, headers=one)).complete
    assert archives.in_use == 0


async def test_an_archive_is_a_download_too_and_keeps_no_place_when_it_is_refused(
    source: MemorySource, files: dict[str, MemoryContent], make_key: MakeKey, make_app: MakeApp
) -> None:
    archives, downloads = Downloads(per_key=1, in_all=1), Downloads(per_key=1, in_all=1)
    app, headers = make_app(archives=archives, downloads=downloads), {"authorization": f"Bearer {make_key()}"}
    elsewhere = downloads.enter("someone")
    assert (await call(app, PATH, headers=headers)).status == 503
    elsewhere.close()
    source.failures["m1"] = SourceUnavailable("just now")
    assert (await call(app, PATH, headers=headers)).headers["retry-after"] == "10"
    source.failures.clear()
    assert (await call(app, PATH, headers=headers)).status == 200
    assert (archives.in_use, downloads.in_use) == (0, 0)


class WatchedList(list[Attachment]):
    """Remembers who has gone through it."""

    readers: set[threading.Thread]

    def __iter__(self) -> Iterator[Attachment]:
        self.readers.add(threading.current_thread())
        return super().__iter__()


async def test_thousands_of_names_are_not_made_distinct_on_the_event_loop(
    source: MemorySource, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    WatchedList.readers = set()

    async def watched(self: MemorySource, message: MessageRef) -> Sequence[Attachment]:
        return WatchedList(content.attachment for content in self.files[message.message_id].values())

    monkeypatch.setattr(MemorySource, "list", watched)
    opened(await archive())
    assert WatchedList.readers
    assert threading.current_thread() not in WatchedList.readers
