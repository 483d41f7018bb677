"""The SDK against a server that does everything wrong: nothing is lost, and nothing half-written appears."""

import asyncio
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from satchel.client import (
    NO_RETRIES,
    AlreadyExists,
    Ambience,
    ArchiveNotOffered,
    AsyncClient,
    AttachmentStream,
    Client,
    ClientError,
    ConnectionFailed,
    IncompleteBody,
    RetryPolicy,
    SizeMismatch,
    Timeouts,
    UnexpectedAnswer,
)
from satchel.contract.errors import ApiError, Forbidden, NotFound, RateLimited, UpstreamTrouble
from satchel.contract.headers import RateLimitState
from satchel.contract.scopes import Scope
from satchel.testing.content import Generated
from satchel.testing.faults import Fault, Html, LongBody, NoAnswer, Refuse, Reset, ShortBody, Stall
from satchel.testing.gateway import FakeAttachment, FakeGateway
from tests.contracts.client_cases import names_in

FOUR_TRIES = RetryPolicy(max_attempts=4)
MIB = 1024 * 1024
SIZE = 3 * MIB + 17
BREAKS = [ShortBody(2 * MIB), Reset(2 * MIB), Stall(2 * MIB), ShortBody(0), LongBody(99)]


class Rig:
    """A gateway with one file, and a client that notes its waits instead of waiting."""

    def __init__(self, gateway: FakeGateway) -> None:
        self.gateway = gateway
        self.file: FakeAttachment = gateway.add("m", "größe.pdf", Generated(SIZE), content_type="application/pdf")
        self.file_id = self.file.attachment.id
        self.waits: list[float] = []

    def client(self, retry: RetryPolicy = FOUR_TRIES) -> AsyncClient:
        async def note(seconds: float) -> None:
            self.waits.append(seconds)

        # A stall ends when the read timeout does, so it is short here.
        return AsyncClient(
            self.gateway.url,
            self.gateway.api_key,
            retry=retry,
            timeouts=Timeouts(read_seconds=0.5),
            ambience=Ambience(sleep=note, random=lambda: 0.5),
        )


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with FakeGateway() as gateway:
        yield Rig(gateway)


@pytest.mark.parametrize("fault", BREAKS, ids=repr)
async def test_a_broken_download_is_resumed(rig: Rig, fault: Fault, tmp_path: Path) -> None:
    rig.gateway.fail(fault)
    async with rig.client() as client:
        done = await client.download("m", rig.file_id, tmp_path / "a")
    assert done.sha256 == rig.file.sha256
    assert names_in(tmp_path) == ["a"]
    first, *more = rig.gateway.calls
    assert first.range is None
    resumed_from_bytes = {ShortBody(2 * MIB): 2 * MIB, Stall(2 * MIB): 2 * MIB}.get(fault)
    if resumed_from_bytes is not None:
        assert [(call.range, call.if_range) for call in more] == [
            (f"bytes={resumed_from_bytes}-", f'"{rig.file.content.version}"')
        ]
        assert (done.resumed, done.restarted) == (1, 0)


@pytest.mark.parametrize("fault", BREAKS, ids=repr)
@pytest.mark.parametrize("switch", ["ranges", "etags"])
async def test_a_server_that_cannot_resume_is_asked_for_the_whole(
    rig: Rig, fault: Fault, switch: str, tmp_path: Path
) -> None:
    setattr(rig.gateway.behaviour, switch, False)
    rig.gateway.fail(fault)
    async with rig.client() as client:
        done = await client.download("m", rig.file_id, tmp_path / "a", expected_size=SIZE)
    assert done.sha256 == rig.file.sha256
    assert done.resumed == 0


async def drain(stream: AttachmentStream, lengths: list[int]) -> None:
    async for piece in stream:
        lengths += [len(piece)]


@pytest.mark.parametrize("fault", [ShortBody(MIB), Reset(MIB), Stall(MIB)], ids=repr)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_short_body_never_ends_silently(rig: Rig, fault: Fault, chunked: bool) -> None:
    rig.gateway.behaviour.chunked = chunked
    rig.gateway.fail(fault)
    got: list[int] = []
    async with rig.client(NO_RETRIES) as client, client.open_attachment("m", rig.file_id) as stream:
        assert stream.size == (None if chunked else SIZE)
        with pytest.raises(IncompleteBody) as broken:
            await drain(stream, got)
    assert sum(got) <= MIB
    assert broken.value.received_bytes == sum(got)
    assert broken.value.transient


async def test_a_body_without_a_length_is_downloaded_and_begun_again(rig: Rig, tmp_path: Path) -> None:
    rig.gateway.behaviour.chunked = True
    rig.gateway.behaviour.ranges = False
    rig.gateway.fail(ShortBody(MIB))
    async with rig.client() as client:
        done = await client.download("m", rig.file_id, tmp_path / "a")
    assert (done.sha256, done.restarted) == (rig.file.sha256, 1)


async def test_bytes_behind_the_announced_end_are_not_taken(rig: Rig) -> None:
    rig.gateway.fail(LongBody(1000))
    async with rig.client() as client:
        async with client.open_attachment("m", rig.file_id) as stream:
            assert sum([len(piece) async for piece in stream]) == SIZE
        # The excess must not be read as the next answer.
        assert await client.list_attachments("m")


async def test_a_download_that_never_gets_through_gives_up_and_leaves_nothing(rig: Rig, tmp_path: Path) -> None:
    rig.gateway.fail(ShortBody(100), times=None, call="download")
    async with rig.client() as client:
        with pytest.raises(IncompleteBody):
            await client.download("m", rig.file_id, tmp_path / "a")
    assert rig.gateway.count("download") == 4
    assert names_in(tmp_path) == []


async def test_attempts_that_get_on_do_not_count(rig: Rig, tmp_path: Path) -> None:
    big = rig.gateway.add("m", "big", Generated(12 * MIB))
    rig.gateway.fail(ShortBody(MIB + 1), times=10)
    async with rig.client(RetryPolicy(max_attempts=2)) as client:
        done = await client.download("m", big.attachment.id, tmp_path / "a")
    assert (done.sha256, done.resumed) == (big.sha256, 10)


async def test_bytes_that_change_between_two_attempts_are_not_mixed(rig: Rig, tmp_path: Path) -> None:
    rig.gateway.fail(ShortBody(2 * MIB))
    changed = Generated(SIZE, seed=1)

    async with rig.client() as client:
        done = await client.download(
            "m",
            rig.file_id,
            tmp_path / "a",
            on_progress=lambda _bytes, _size: rig.gateway.replace("m", rig.file_id, changed),
        )
    assert done.sha256 == rig.gateway.messages["m"][rig.file_id].sha256
    assert (done.resumed, done.restarted) == (0, 1)


async def test_bytes_that_shrink_between_two_attempts_are_begun_again(rig: Rig, tmp_path: Path) -> None:
    rig.gateway.fail(ShortBody(2 * MIB))
    async with rig.client() as client:
        done = await client.download(
            "m", rig.file_id, tmp_path / "a", on_progress=lambda *_: rig.gateway.replace("m", rig.file_id, b"short")
        )
    assert done.path.read_bytes() == b"short"


@pytest.mark.parametrize(
    ("fault", "waits"),
    [
        (Refuse(429), [60.25]),
        (Refuse(429, retry_after="7"), [7.25]),
        (Refuse(503, retry_after="3"), [3.25]),
        (Refuse(502), [0.25]),
        (Html(status=502), [0.25]),
    ],
    ids=repr,
)
async def test_transient_answers_are_waited_for(rig: Rig, fault: Fault, waits: list[float]) -> None:
    rig.gateway.fail(fault)
    async with rig.client() as client:
        assert await client.list_attachments("m")
        rig.gateway.fail(fault)
        async with client.open_attachment("m", rig.file_id) as stream:
            assert stream.filename == "größe.pdf"
    assert rig.waits == waits * 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Refuse(401), ApiError),
        (Refuse(404), ApiError),
        (Refuse(429, retry_after="9999"), RateLimited),
        (Html(), UnexpectedAnswer),
        (Html(status=302, location="http://127.0.0.1:9/steal"), UnexpectedAnswer),
    ],
    ids=repr,
)
async def test_final_answers_are_raised_at_once(rig: Rig, fault: Fault, kind: type[Exception], tmp_path: Path) -> None:
    rig.gateway.fail(fault, times=None)
    async with rig.client() as client:
        with pytest.raises(kind):
            await client.list_attachments("m")
        with pytest.raises(kind):
            await client.download("m", rig.file_id, tmp_path / "a")
    assert rig.waits == []
    assert rig.gateway.count() == 2
    assert names_in(tmp_path) == []


async def test_without_retries_the_first_failure_is_raised_with_what_the_server_said(rig: Rig) -> None:
    rig.gateway.fail(Refuse(503, retry_after="11", reason="upstream_throttled"))
    async with rig.client(NO_RETRIES) as client:
        with pytest.raises(UpstreamTrouble) as met:
            await client.list_attachments("m")
    assert (met.value.transient, met.value.retry_after_seconds) == (True, 11)
    assert (met.value.status, met.value.reason) == (503, "upstream_throttled")


async def test_a_missing_scope_is_told(rig: Rig) -> None:
    rig.gateway.scopes = frozenset({Scope.MESSAGES_READ})
    async with rig.client() as client:
        await client.list_attachments("m")
        with pytest.raises(Forbidden, match="required scope"):
            async with client.open_attachment("m", rig.file_id):
                pass


@pytest.mark.parametrize("fault", [NoAnswer()])
async def test_no_answer_is_a_connection_that_failed(rig: Rig, fault: Fault) -> None:
    rig.gateway.fail(fault, times=None)
    async with rig.client() as client:
        with pytest.raises(ConnectionFailed) as met:
            await client.list_attachments("m")
    assert met.value.transient
    assert len(rig.waits) == 3


async def test_a_port_where_nobody_listens_is_a_connection_that_failed() -> None:
    async with AsyncClient("http://127.0.0.1:9", "secret-key", retry=NO_RETRIES) as client:
        with pytest.raises(ConnectionFailed) as met:
            await client.list_attachments("m")
    assert "base URL" in met.value.message


async def test_no_failure_shows_the_key(rig: Rig) -> None:
    failures: list[BaseException] = []
    async with rig.client(NO_RETRIES) as client:
        for fault in (NoAnswer(), Html(), Html(302), Refuse(401), Refuse(503), ShortBody(5)):
            rig.gateway.heal()
            rig.gateway.fail(fault, times=None)
            try:
                await client.list_attachments("m")
            except (ApiError, ClientError) as failure:
                failures.append(failure)
    assert len(failures) == 6
    for shown in failures:
        assert shown.__cause__ is None
        assert rig.gateway.api_key not in f"{shown!r} {vars(shown)!r}"


async def test_a_public_service_tells_less_and_sends_more(rig: Rig, tmp_path: Path) -> None:
    behaviour = rig.gateway.behaviour
    behaviour.ranges = behaviour.etags = False
    behaviour.extra_fields = {"isInline": "perhaps", "newField": {"a": [1]}, "lastModified": "yesterday"}
    async with rig.client() as client:
        (listed,) = await client.list_attachments("m")
        assert (listed.name, listed.is_inline, listed.last_modified) == ("größe.pdf", None, None)
        assert client.rate_limit is None
        async with client.open_attachment("m", rig.file_id, start=5) as stream:
            assert (stream.start, stream.etag, stream.length) == (0, None, SIZE)
        assert (await client.download("m", rig.file_id, tmp_path / "a")).size == SIZE


async def test_the_budget_is_read_from_every_answer_also_a_refusal(rig: Rig) -> None:
    rig.gateway.behaviour.rate_limit = state = RateLimitState(100, 60, 0, 12)
    rig.gateway.fail(Refuse(429, retry_after="12"))
    async with rig.client(NO_RETRIES) as client:
        with pytest.raises(RateLimited):
            await client.list_attachments("m")
        assert client.rate_limit == state


async def test_a_listed_size_that_is_not_true_does_no_harm_unless_it_is_expected(rig: Rig, tmp_path: Path) -> None:
    inflated = rig.gateway.add("m", "a", b"12345", listed_size=99)
    async with rig.client() as client:
        await client.download("m", inflated.attachment.id, tmp_path / "a")
        with pytest.raises(SizeMismatch):
            await client.download("m", inflated.attachment.id, tmp_path / "b", expected_size=99)
        rig.gateway.behaviour.chunked = True
        for wrong_size in (4, 6):
            with pytest.raises(SizeMismatch):
                await client.download("m", inflated.attachment.id, tmp_path / "b", expected_size=wrong_size)
    assert names_in(tmp_path) == ["a"]


async def test_a_file_that_is_there_costs_no_call(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    async with rig.client() as client:
        with pytest.raises(AlreadyExists):
            await client.download("m", rig.file_id, tmp_path / "a")
        assert rig.gateway.count() == 0
        await client.download("m", rig.file_id, tmp_path / "a", overwrite=True)
    assert (tmp_path / "a").stat().st_size == SIZE


async def test_progress_ends_at_the_size(rig: Rig, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    async with rig.client() as client:
        await client.download("m", rig.file_id, tmp_path / "a", on_progress=lambda *each: told.append(each))
    assert told == sorted(told)
    assert told[-1] == (SIZE, SIZE)


async def test_a_cancelled_download_leaves_nothing_and_hangs_up(rig: Rig, tmp_path: Path) -> None:
    rig.gateway.fail(Stall(MIB))
    begun = asyncio.Event()
    async with rig.client() as client:
        task = asyncio.create_task(
            client.download("m", rig.file_id, tmp_path / "a", on_progress=lambda *_: begun.set())
        )
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert names_in(tmp_path) == []


async def test_the_blocking_client_raises_the_same_and_cleans_up(rig: Rig, tmp_path: Path) -> None:
    rig.gateway.fail(ShortBody(MIB), times=None)

    def use() -> None:
        with Client(rig.gateway.url, rig.gateway.api_key, retry=NO_RETRIES) as client:
            with pytest.raises(IncompleteBody), client.open_attachment("m", rig.file_id) as stream:
                b"".join(stream)
            with pytest.raises(IncompleteBody):
                client.download("m", rig.file_id, tmp_path / "a")
            with pytest.raises(ZeroDivisionError), client.open_attachment("m", rig.file_id):
                raise ZeroDivisionError

    await asyncio.to_thread(use)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_archive_that_breaks_is_begun_again(rig: Rig, tmp_path: Path, chunked: bool) -> None:
    rig.gateway.behaviour.chunked = chunked
    rig.gateway.fail(Reset(2 * MIB), times=2)
    async with rig.client() as client:
        done = await client.download_archive("m", tmp_path / "a.zip")
    assert (done.restarted, done.resumed, rig.gateway.count("archive")) == (2, 0, 3)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
    assert names_in(tmp_path) == ["a.zip"]


async def test_a_server_without_archives_is_told_from_an_unknown_message(rig: Rig, tmp_path: Path) -> None:
    rig.gateway.behaviour.archives = False
    async with rig.client() as client:
        with pytest.raises(ArchiveNotOffered) as offered:
            await client.download_archive("m", tmp_path / "a.zip")
        assert not offered.value.transient
        with pytest.raises(NotFound):
            await client.download_archive("unknown", tmp_path / "a.zip")
    assert names_in(tmp_path) == []


async def test_what_is_no_zip_is_not_stored(rig: Rig, tmp_path: Path) -> None:
    rig.gateway.fail(Html())
    async with rig.client() as client:
        with pytest.raises(UnexpectedAnswer):
            await client.download_archive("m", tmp_path / "a.zip")
    assert names_in(tmp_path) == []
