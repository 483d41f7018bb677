"""The SDK against answers that no server of this API gives, byte for byte on the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from satchel.client import (
    NO_RETRIES,
    Ambience,
    AsyncClient,
    ClientError,
    ConnectionFailed,
    IncompleteBody,
    ServerNotTrusted,
    UnexpectedAnswer,
)
from satchel.contract.errors import ApiError, BadRequest, UpstreamTrouble

OK = "HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=a\r\n"
PART = "HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n"
WHOLE = OK + 'ETag: "v1"\r\nContent-Length: 5\r\n\r\n'


class Stranger:
    """Gives one canned answer to each connection, the last one again and again, and keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.read(65536)).decode("latin-1"))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        writer.write(answer.encode("latin-1"))
        await writer.drain()
        writer.close()


@asynccontextmanager
async def listening(*answers: str) -> AsyncIterator[Stranger]:
    stranger = Stranger(*answers)
    server = await asyncio.start_server(stranger.handle, "127.0.0.1", 0)
    async with server:
        stranger.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield stranger


def client_for(stranger: Stranger) -> AsyncClient:
    return AsyncClient(stranger.url, "the-key", retry=NO_RETRIES)


async def drain(client: AsyncClient, start: int = 0, etag: str | None = None) -> bytes:
    async with client.open_attachment("m", "a", start=start, etag=etag) as stream:
        return b"".join([piece async for piece in stream])


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OK + "\r\nhello", "has no length"),
        ("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello", "has no length"),
        (OK + "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", "is compressed"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "HTTP 204"),
        (PART + "Content-Range: bytes 3-4/5\r\n\r\nlo", "not the range"),
        ("220 mail.example.org ESMTP\r\n", "does not speak HTTP"),
    ],
)
async def test_no_download(answer: str, why: str) -> None:
    async with listening(answer) as stranger, client_for(stranger) as client:
        with pytest.raises(UnexpectedAnswer, match=why) as met:
            await drain(client)
    assert not met.value.transient


@pytest.mark.parametrize(
    "headers",
    [
        'Content-Range: bytes 2-3/4\r\nETag: "v1"\r\n',
        "Content-Range: bytes 3-3/5\r\n",
        "Content-Range: bytes 3-4/9\r\n",
        "Content-Range: bytes 4-3/5\r\n",
        "Content-Range: lines 3-4/5\r\n",
        "",
        'Content-Range: bytes 3-4/5\r\nETag: "v2"\r\n',
        "Content-Range: bytes 3-4/5\r\n",
    ],
)
async def test_no_range_of_these_bytes(headers: str) -> None:
    async with listening(f"{PART}{headers}\r\nlo") as stranger, client_for(stranger) as client:
        with pytest.raises(UnexpectedAnswer):
            await drain(client, start=3, etag="v1")


async def test_the_range_of_these_bytes() -> None:
    answer = PART + 'Content-Range: bytes 3-4/5\r\nETag: "v1"\r\n\r\nlo'
    async with listening(answer) as stranger, client_for(stranger) as client:
        assert await drain(client, start=3, etag="v1") == b"lo"
    (asked,) = stranger.asked
    assert "\r\nRange: bytes=3-\r\n" in asked
    assert '\r\nIf-Range: "v1"\r\n' in asked
    assert "\r\nAccept-Encoding: identity\r\n" in asked
    assert "\r\nAuthorization: Bearer the-key\r\n" in asked
    assert asked.startswith("GET /api/v1/messages/m/attachments/a/download HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "refusal",
    [
        "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n",
        PART + "Content-Range: bytes 0-1/5\r\n\r\nhe",
        PART + 'Content-Range: bytes 3-4/5\r\nETag: "v2"\r\n\r\nLO',
    ],
)
async def test_a_range_that_is_refused_or_does_not_fit_begins_the_download_anew(refusal: str, tmp_path: Path) -> None:
    async def no_wait(_seconds: float) -> None:
        pass

    async with (
        listening(f"{WHOLE}hel", refusal, f"{WHOLE}hello") as stranger,
        AsyncClient(stranger.url, "the-key", ambience=Ambience(sleep=no_wait)) as client,
    ):
        done = await client.download("m", "a", tmp_path / "a")
    assert done.path.read_bytes() == b"hello"
    assert (done.resumed, done.restarted) == (0, 1)
    assert len(stranger.asked) == 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + '{"attachments": []}', IncompleteBody),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", UnexpectedAnswer),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", UnexpectedAnswer),
        ("HTTP/1.1 206 OK\r\nContent-Length: 0\r\n\r\n", UnexpectedAnswer),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 900\r\n\r\n{", UpstreamTrouble),
        ("HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n", BadRequest),
        ("", ConnectionFailed),
    ],
)
async def test_no_list(answer: str, kind: type[ApiError | ClientError]) -> None:
    async with listening(answer) as stranger, client_for(stranger) as client:
        with pytest.raises(kind):
            await client.list_attachments("m")


async def test_a_port_without_tls_is_not_trusted_and_gets_no_key() -> None:
    async with listening("HTTP/1.1 400 Bad Request\r\n\r\n") as stranger:
        secured = AsyncClient(stranger.url.replace("http:", "https:"), "the-key", retry=NO_RETRIES)
        async with secured as client:
            with pytest.raises(ServerNotTrusted, match="wrong version number") as met:
                await client.list_attachments("m")
    assert not met.value.transient
    assert stranger.asked
    assert "the-key" not in "".join(stranger.asked)
