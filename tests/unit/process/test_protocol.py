"""What the server of both programs refuses by itself. The transport is one that only remembers."""

import asyncio
from typing import Any, cast

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from satchel.gateway.api.protocol import EnvelopeProtocol
from satchel.process.protocol import MAX_HEAD_BYTES, BoundedProtocol

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
FIELD = b"a: " + b"b" * 1019 + b"\r\n"
ANSWER = b"0123456789"


class Wire(asyncio.Transport):
    """Remembers what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def half_an_answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends a part of its answer and then has nothing more to say for a long time."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": ANSWER, "more_body": True})
    await asyncio.Event().wait()


def connection(kind: type[BoundedProtocol]) -> tuple[HttpToolsProtocol, Wire]:
    config = uvicorn.Config(half_an_answer, lifespan="off", log_config=None)
    config.load()
    wire = Wire()
    protocol = kind(config=config, server_state=ServerState(), app_state={}, _loop=asyncio.get_running_loop())
    protocol.connection_made(cast("Any", wire))
    return protocol, wire


def fed(protocol: HttpToolsProtocol, wire: Wire, piece: bytes, most_bytes: int) -> int:
    """How many bytes of the same piece over and over were taken until the connection was closed, or all of them."""
    taken = 0
    while taken < most_bytes and not wire.closed:
        protocol.data_received(piece)
        taken += len(piece)
    return taken


@pytest.mark.parametrize("kind", [BoundedProtocol, EnvelopeProtocol])
@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n", FIELD, id="headers"),
        pytest.param(b"GET / HTTP/1.1\r\nX: ", b"x" * 1024, id="one header"),
        pytest.param(b"GET /", b"x" * 1024, id="target"),
        pytest.param(CHUNKED + b"0\r\n", FIELD, id="trailers"),
        pytest.param(CHUNKED + b"0\r\nX: ", b"x" * 1024, id="one trailer"),
        pytest.param(CHUNKED + b"1;", b"x" * 1024, id="chunk extension"),
    ],
)
async def test_what_is_not_the_body_has_a_bound(kind: type[BoundedProtocol], begin: bytes, piece: bytes) -> None:
    protocol, wire = connection(kind)
    protocol.data_received(begin)
    assert fed(protocol, wire, piece, 10 * MAX_HEAD_BYTES) <= MAX_HEAD_BYTES + 1024
    assert wire.closed


async def test_a_long_body_is_the_application_s_to_bound() -> None:
    protocol, wire = connection(BoundedProtocol)
    protocol.data_received(CHUNKED)
    fed(protocol, wire, b"400\r\n" + b"x" * 1024 + b"\r\n", 10 * MAX_HEAD_BYTES)
    assert not wire.closed


@pytest.mark.parametrize(("kind", "said"), [(BoundedProtocol, b""), (EnvelopeProtocol, b'"status":"error"')])
async def test_a_refusal_is_a_whole_answer(kind: type[BoundedProtocol], said: bytes) -> None:
    protocol, wire = connection(kind)
    protocol.data_received(b"GARBAGE\r\n\r\n")
    head, _, body = wire.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert f"content-length: {len(body)}".encode() in head.split(b"\r\n")
    assert said in body
    assert wire.closed


async def test_nothing_is_written_into_an_answer_that_is_under_way() -> None:
    protocol, wire = connection(EnvelopeProtocol)
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    while not wire.written.endswith(ANSWER):
        await asyncio.sleep(0)
    protocol.data_received(b"\0garbage\r\n\r\n")
    assert wire.written.endswith(ANSWER)
    assert wire.closed
