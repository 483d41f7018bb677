"""Attachments of Graph through the whole source, with each fault of bodies by itself; and the digest at the end of an
answer, on a socket."""

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from satchel.gateway.api.download import DownloadResponse, conditional_headers, plan_download
from satchel.mail.graph.content import GraphContent
from satchel.mail.graph.options import CallOptions, ContentOptions, GraphOptions
from satchel.mail.graph.source import GraphSource
from satchel.mail.graph.streams import ContentStreams
from satchel.mail.host import ContentFact
from satchel.mail.source import MessageRef, SourceUnavailable
from satchel.process.protocol import BoundedProtocol
from satchel.testing.content import Generated
from satchel.testing.graph import ALWAYS, Faults, GraphSimulator, next_calls
from satchel.testing.host import MemoryHost
from satchel.testing.mail import file_part, message

MAILBOX = "invoices@example.test"
SIZE = 5_000_000
FILE = Generated(SIZE, 7)
DATA = b"".join(FILE.pieces(0, SIZE))
SHA256 = hashlib.sha256(DATA).hexdigest()
FACT = ContentFact(SIZE, SHA256)
# The largest that is held to learn its length.
SMALL, LARGE = SIZE, SIZE - 1


class FixedToken:
    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str:
        return self._token

    async def renewed(self, stale: str) -> str:
        return self._token

    async def aclose(self) -> None:
        pass


@dataclass
class Office:
    """A message with one attachment, read anew through a source that has listed nothing yet."""

    simulator: GraphSimulator
    message_id: str
    host: MemoryHost
    streams: ContentStreams
    source: GraphSource
    attachment_id: str = ""

    @property
    def ref(self) -> MessageRef:
        return MessageRef(MAILBOX, self.message_id, self.message_id)

    async def open(self) -> GraphContent:
        return await self.source.open(self.ref, self.attachment_id)

    async def read(self, start: int = 0, stop: int | None = None) -> tuple[int | None, bytes]:
        """The size that was known beforehand, and the bytes."""
        content = await self.open()
        try:
            return content.size, b"".join([piece async for piece in content.chunks(start, stop)])
        finally:
            await content.aclose()

    @property
    def body_calls(self) -> int:
        return sum(call.kind == "content" for call in self.simulator.calls)


@asynccontextmanager
async def office(
    *, buffer_bytes: int = SMALL, heal_attempts: int = 3, tls: bool = False, read_timeout_seconds: float = 0.5
) -> AsyncIterator[Office]:
    async with GraphSimulator(tls=tls) as simulator:
        simulator.add_mailbox(MAILBOX)
        mail = message("m", "File", [file_part("a.bin", "application/octet-stream", FILE)])
        message_id = await asyncio.to_thread(simulator.deliver, MAILBOX, mail)
        calls = CallOptions(simulator.base_url, simulator.ca_file, read_timeout_seconds=read_timeout_seconds)
        content = ContentOptions(heal_attempts=heal_attempts, buffer_bytes=buffer_bytes)
        host, streams = MemoryHost(), ContentStreams(sleep=lambda _: asyncio.sleep(0))
        token = FixedToken(simulator.world.tokens.issue())
        source = GraphSource(GraphOptions([MAILBOX], calls, content), token, host, streams=streams)
        made = Office(simulator, message_id, host, streams, source)
        [listed] = await source.list(made.ref)
        made.attachment_id = listed.id
        try:
            yield made
        finally:
            await source.aclose()
        assert streams.held_bytes == 0


async def test_with_a_length_of_the_server_it_is_read_once() -> None:
    async with office(tls=True) as here:
        assert await here.read() == (SIZE, DATA)
        assert here.body_calls == 1
        assert list(here.host.facts.values()) == [FACT]
        [listed] = await here.source.list(here.ref)
        assert listed.size == SIZE


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_a_small_body_without_a_length_gets_one(framing: Any) -> None:
    async with office() as here:
        here.simulator.faults.framing = framing
        assert await here.read() == (SIZE, DATA)
        assert here.body_calls == 2


async def test_a_large_one_gets_it_from_an_earlier_read() -> None:
    async with office(buffer_bytes=LARGE // 3) as here:
        here.simulator.faults.framing = "chunked"
        assert await here.read() == (None, DATA)
        calls = here.body_calls
        assert await here.read() == (SIZE, DATA)
        assert here.body_calls == calls + 1
        assert await here.read(1000, 2_000_000) == (SIZE, DATA[1000:2_000_000])


BROKEN: dict[str, Callable[[int, int], Faults]] = {
    "reset": lambda times, at: Faults(reset=next_calls(times, "content"), reset_after_bytes=at),
    "stall": lambda times, at: Faults(stall=next_calls(times, "content"), stall_after_bytes=at),
    "short": lambda times, at: Faults(short=next_calls(times, "content"), short_after_bytes=at),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("at", [0, 3_000_001])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_break_is_healed(fault: str, at: int, framing: Any) -> None:
    async with office(buffer_bytes=LARGE // 3) as here:
        here.simulator.faults = BROKEN[fault](1, at)
        here.simulator.faults.framing = framing
        assert (await here.read())[1] == DATA
        assert (here.streams.healed_streams, here.streams.failed_heals) == (1, 0)
        assert list(here.host.facts.values()) == [FACT]


async def test_breaks_while_the_length_is_learned_are_healed() -> None:
    async with office() as here:
        here.simulator.faults = Faults(reset=next_calls(2, "content"), framing="chunked")
        assert await here.read() == (SIZE, DATA)
        assert here.streams.healed_streams == 1


async def _fails(here: Office) -> bytes:
    content = await here.open()
    given: list[bytes] = []
    try:
        with pytest.raises(SourceUnavailable):
            await _take(content, given)
    finally:
        await content.aclose()
    return b"".join(given)


async def _take(content: GraphContent, given: list[bytes]) -> None:
    async for piece in content.chunks():
        given.append(piece)  # noqa: PERF401 - what came before a failure counts


@pytest.mark.parametrize("heal_attempts", [0, 2])
async def test_what_breaks_too_often_is_an_error(heal_attempts: int) -> None:
    async with office(heal_attempts=heal_attempts) as here:
        before = here.body_calls
        here.simulator.faults = Faults(reset=ALWAYS, reset_after_bytes=3_000_000)
        given = await _fails(here)
        assert DATA.startswith(given)
        assert here.body_calls - before == 1 + heal_attempts
        assert here.streams.failed_heals == bool(heal_attempts)
        assert here.host.facts == {}


async def test_other_bytes_after_a_break_are_an_error() -> None:
    async with office() as here:
        here.simulator.faults = Faults(
            reset=next_calls(1, "content"), reset_after_bytes=3_000_000, change_on_reopen=ALWAYS
        )
        given = await _fails(here)
        assert DATA.startswith(given)
        assert given
        assert (here.streams.healed_streams, here.streams.failed_heals) == (0, 1)


async def test_other_bytes_than_in_an_earlier_read_are_an_error_and_then_the_truth() -> None:
    async with office() as here:
        assert await here.read() == (SIZE, DATA)
        here.simulator.faults = Faults(change_on_reopen=ALWAYS)
        await _fails(here)
        assert here.host.facts == {}
        other = DATA.translate(bytes(255 - code for code in range(256)))
        assert await here.read() == (SIZE, other)


@asynccontextmanager
async def served(here: Office) -> AsyncIterator[int]:
    """The download of the attachment on a port of loopback."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        content = await here.open()
        plan = plan_download(content, conditional_headers(Request(scope)), http_version=scope["http_version"])
        await DownloadResponse(content, plan)(scope, receive, send)

    config = uvicorn.Config(app, lifespan="off", log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: BoundedProtocol(config=config, server_state=ServerState(), app_state={}, _loop=loop), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def exchange(port: int, *lines: str) -> tuple[str, bytes]:
    """Head and body as they come over the wire."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join(["GET / HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]).encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n") if writer.can_write_eof() else (b"", b"", b"")
    while piece := await reader.read(2**20):
        body += piece
    writer.close()
    return head.decode("latin-1").lower(), body


def unchunked(body: bytes) -> tuple[bytes, str]:
    """The bytes of a chunked body (RFC 9112 section 7.1), and its trailers."""
    found = bytearray()
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if not size:
            return bytes(found), body[end + 2 :].decode("latin-1")
        found += body[end + 2 : end + 2 + size]
        at = end + 2 + size + 2


DIGEST = f"sha-256=:{b64encode(bytes.fromhex(SHA256)).decode()}:"


async def test_the_digest_follows_a_body_of_unknown_length() -> None:
    async with office(buffer_bytes=LARGE // 3) as here, served(here) as port:
        here.simulator.faults.framing = "chunked"
        head, body = await exchange(port, "TE: trailers")
        assert "trailer: repr-digest" in head
        assert "content-length" not in head
        assert unchunked(body) == (DATA, f"repr-digest: {DIGEST}\r\n\r\n")
        # Now it is known, and needs no trailer any more.
        head, body = await exchange(port, "TE: trailers", "Range: bytes=1-9")
        assert "206 partial content" in head
        assert f"repr-digest: {DIGEST}".lower() in head
        assert body == DATA[1:10]


async def test_a_body_that_breaks_for_good_has_no_end() -> None:
    async with office(buffer_bytes=LARGE // 3, heal_attempts=1) as here, served(here) as port:
        here.simulator.faults = Faults(framing="chunked", reset=ALWAYS, reset_after_bytes=3_000_000)
        _, body = await exchange(port, "TE: trailers")
        assert not body.endswith(b"0\r\n\r\n")
        assert b"repr-digest" not in body


@pytest.mark.parametrize("tls", [False, True])
async def test_a_client_that_leaves_in_mid_body_frees_connection_and_place_at_once(tls: bool) -> None:
    async with office(tls=tls, read_timeout_seconds=60) as here, served(here) as port:
        here.simulator.faults = Faults(stall=ALWAYS, stall_after_bytes=1_000_000)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readexactly(500_000)).startswith(b"HTTP/1.1 200")
        assert here.source._http.free_places(MAILBOX) == 3
        writer.transport.abort()
        async with asyncio.timeout(20):
            while here.simulator.world.calls.under_way(MAILBOX) or here.source._http.free_places(MAILBOX) < 4:
                await asyncio.sleep(0.01)
