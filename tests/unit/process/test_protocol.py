"""What the server of both programs refuses by itself. The transport is one that only remembers."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast
from unittest.mock import Mock

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from satchel.gateway.api.protocol import EnvelopeProtocol
from satchel.process.protocol import MAX_HEAD_BYTES, BoundedProtocol, Patience

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
FIELD = b"a: " + b"b" * 1019 + b"\r\n"
ANSWER = b"0123456789"


class Wire(asyncio.Transport):
    """Remembers what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.high_bytes: int | None = None
        self.written = b""
        self.closed = False
        self.aborted = False
        self.left_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = self.closed = True

    def get_write_buffer_size(self) -> int:
        return self.left_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high_bytes = high

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


def connection(kind: type[BoundedProtocol], app: ASGIApp = half_an_answer) -> tuple[HttpToolsProtocol, Wire]:
    config = uvicorn.Config(app, lifespan="off", log_config=None)
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


async def test_garbage_behind_a_pipeline_lets_the_request_that_is_answered_know() -> None:
    told = asyncio.get_running_loop().create_future()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "http.request":
            pass
        told.set_result(message["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    protocol, wire = connection(EnvelopeProtocol, waits)
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2 + b"\0garbage\r\n\r\n")
    assert wire.closed
    async with asyncio.timeout(10):
        assert await told == "http.disconnect"
    assert wire.written == b""


@pytest.mark.parametrize(
    "head", [b"CONNECT x:1 HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"]
)
async def test_what_might_be_another_protocol_is_the_last_of_its_connection(head: bytes) -> None:
    async def empty(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 405, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    protocol, wire = connection(EnvelopeProtocol, empty)
    protocol.data_received(head + b"Host: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        while not wire.closed:
            await asyncio.sleep(0)
    assert b"connection: close" in wire.written


@dataclass
class Timers:
    """What a connection asked its loop to call later; nothing is called before `pass_time`."""

    waiting: list[tuple[float, Callable[[], None], Mock]] = field(default_factory=list)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Mock:
        self.waiting.append((seconds, callback, Mock()))
        return self.waiting[-1][2]

    def create_task(self, task: Any, **context: Any) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(task, **context)

    def pass_time(self) -> list[float]:
        """Call what was not cancelled in between; after how many seconds each was due."""
        due, self.waiting = [each for each in self.waiting if not each[2].cancel.called], []
        for _, callback, _ in due:
            callback()
        return [seconds for seconds, _, _ in due]


def patient_connection() -> tuple[HttpToolsProtocol, Wire, Timers]:
    timers = Timers()
    config = uvicorn.Config(half_an_answer, lifespan="off", log_config=None)
    config.load()
    wire, patience = Wire(), Patience(request_seconds=30, stall_seconds=120)
    protocol = EnvelopeProtocol(
        config=config, server_state=ServerState(), app_state={}, _loop=cast("Any", timers), patience=patience
    )
    protocol.connection_made(wire)
    return protocol, wire, timers


@pytest.mark.parametrize("sent", [b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_is_late_is_refused(sent: bytes) -> None:
    protocol, wire, timers = patient_connection()
    protocol.data_received(sent)
    assert timers.pass_time() == [30]
    assert wire.written.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert wire.closed


@pytest.mark.parametrize("sent", [b"", CHUNKED, CHUNKED + b"1\r\nx\r\n"])
async def test_where_nothing_can_be_answered_the_connection_ends(sent: bytes) -> None:
    protocol, wire, timers = patient_connection()
    protocol.data_received(sent)
    assert timers.pass_time() == [30]
    assert wire.aborted
    assert wire.written == b""


async def test_a_request_that_is_whole_takes_as_long_as_it_takes() -> None:
    protocol, wire, timers = patient_connection()
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n")
    protocol.data_received(b"\r\n")
    assert timers.pass_time() == []
    while not wire.written.endswith(ANSWER):
        await asyncio.sleep(0)
    protocol.data_received(b"GET /next HT")
    assert timers.pass_time() == [30]
    assert timers.pass_time() == [30]
    assert not wire.closed


async def test_an_empty_line_behind_a_request_breaks_nothing_off() -> None:
    protocol, wire, timers = patient_connection()
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    protocol.data_received(b"\r\n")
    assert timers.pass_time() == [30]
    assert not wire.closed


async def test_a_client_that_reads_slowly_is_waited_for_and_one_that_stops_is_not() -> None:
    protocol, wire, timers = patient_connection()
    timers.waiting.clear()
    protocol.pause_writing()
    protocol.resume_writing()
    assert timers.pass_time() == []
    wire.left_bytes = 1000
    protocol.pause_writing()
    wire.left_bytes = 999
    assert timers.pass_time() == [120]
    assert not wire.aborted
    assert timers.pass_time() == [120]
    assert wire.aborted


async def test_a_connection_that_is_gone_leaves_no_timers() -> None:
    protocol, wire, timers = patient_connection()
    wire.left_bytes = 1000
    protocol.pause_writing()
    protocol.connection_lost(None)
    assert timers.pass_time() == []


async def test_nothing_waits_in_the_connection_that_the_application_does_not_know_of() -> None:
    _, wire = connection(BoundedProtocol)
    assert wire.high_bytes == 1
