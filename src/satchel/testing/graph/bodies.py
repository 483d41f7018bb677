"""Sends attachments' bytes: decoded from the file ahead of the client, and broken off where a fault says so."""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

import pybase64
from aiohttp import web

from satchel.mail.mime import decode
from satchel.testing.graph.errors import GraphError
from satchel.testing.graph.exchange import JSON_TYPE, Exchange
from satchel.testing.graph.faults import Framing
from satchel.testing.graph.stored import StoredAttachment, StoredMessage

_AHEAD_BYTES = 768 * 1024
_RAW_BYTES = 512 * 1024
# A whole number of groups of three bytes, so that pieces of base64 can stand one behind the other.
_GROUP_BYTES = 3 * 64 * 1024
_OTHER_BYTES = bytes(255 - code for code in range(256))


class _UntilClosed(web.StreamResponse):
    """A body that has neither a length nor chunks and ends with the connection (RFC 9112 section 6.3)."""

    _length_check = False


@dataclass(frozen=True, slots=True)
class Break:
    """Where a body breaks off, and how."""

    kind: Literal["reset", "stall", "short"]
    at: int


async def send_attachment(
    exchange: Exchange, message: StoredMessage, attachment: StoredAttachment
) -> web.StreamResponse:
    """The decoded bytes, with whatever goes wrong by intention."""
    await _late(exchange, attachment.size)
    key = f"{message.immutable_id}/{attachment.found.path}"
    reopened = exchange.world.opened.get(key, 0) > 0
    exchange.world.opened[key] = exchange.world.opened.get(key, 0) + 1
    changed = reopened and _falls(exchange, "change_on_reopen")
    pieces = _ahead(exchange, _decoded(message, attachment, changed))
    content_type = attachment.found.content_type if attachment.found.kind == "fileAttachment" else "text/plain"
    return await _send(exchange, pieces, attachment.size, content_type)


async def send_message(exchange: Exchange, message: StoredMessage) -> web.StreamResponse:
    """The message as it came, MIME."""
    size = message.contents.size
    await _late(exchange, size)
    return await _send(exchange, _ahead(exchange, _raw(message)), size, "text/plain")


async def send_json(
    exchange: Exchange, pieces: Sequence[bytes | StoredAttachment], message: StoredMessage
) -> web.StreamResponse:
    """JSON in pieces, of which some are the base64 of an attachment: no file is ever held as a whole."""
    answer = web.StreamResponse(headers={"Content-Type": JSON_TYPE})
    await answer.prepare(exchange.request)
    for piece in pieces:
        if isinstance(piece, bytes):
            await answer.write(piece)
            continue
        async with aclosing(_ahead(exchange, _decoded(message, piece, False))) as decoded:
            async for data in _base64(decoded):
                exchange.call.sent_bytes += len(data)
                await answer.write(data)
    await answer.write_eof()
    return answer


async def _late(exchange: Exchange, size: int) -> None:
    faults = exchange.world.faults
    await asyncio.sleep(faults.body_latency_seconds)
    if faults.timeout_over_bytes is not None and size > faults.timeout_over_bytes:
        exchange.call.fault = "timeout_over_bytes"
        await asyncio.sleep(faults.timeout_after_seconds)
        raise GraphError(504, "UnknownError", "")


def _falls(exchange: Exchange, name: str) -> bool:
    world, call = exchange.world, exchange.call
    falls = world.dice.falls(getattr(world.faults, name), call.kind, call.mailbox)
    if falls:
        call.fault = name
    return falls


def _break(exchange: Exchange, size: int) -> Break | None:
    faults, dice = exchange.world.faults, exchange.world.dice
    kinds: tuple[tuple[Literal["reset", "stall", "short"], int | None], ...] = (
        ("reset", faults.reset_after_bytes),
        ("stall", faults.stall_after_bytes),
        ("short", faults.short_after_bytes),
    )
    for kind, after in kinds:
        if (after is None or after < size) and _falls(exchange, kind):
            return Break(kind, dice.below(size) if after is None else after)
    return None


async def _send(
    exchange: Exchange, pieces: AsyncGenerator[bytes, None], size: int, content_type: str
) -> web.StreamResponse:
    broken = _break(exchange, size)
    framing = exchange.world.faults.framing
    if broken is not None and broken.kind == "short" and framing == "length":
        framing = "chunked"
    answer = _framed(framing, size, content_type)
    await answer.prepare(exchange.request)
    left = size if broken is None else broken.at
    async with aclosing(pieces):
        async for piece in pieces:
            data = piece if len(piece) <= left else piece[:left]
            left -= len(data)
            exchange.call.sent_bytes += len(data)
            if data:
                await answer.write(data)
            if not left:
                break
    if broken is not None and broken.kind == "stall":
        await asyncio.Event().wait()
    if broken is not None and broken.kind == "reset":
        reset(exchange.request)
        return answer
    await answer.write_eof()
    return answer


def _framed(framing: Framing, size: int, content_type: str) -> web.StreamResponse:
    headers = {"Content-Type": content_type}
    if framing == "close":
        closing = _UntilClosed(headers=headers)
        closing.force_close()
        return closing
    answer = web.StreamResponse(headers=headers)
    if framing == "length":
        answer.content_length = size
    else:
        answer.enable_chunked_encoding()
    return answer


def reset(request: web.Request) -> None:
    """Break the connection so that the client's system says that it was reset."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _decoded(message: StoredMessage, attachment: StoredAttachment, changed: bool) -> Generator[bytes, None, None]:
    with message.opened() as fd:
        for piece in decode(fd, attachment.found, attachment.sizes):
            yield piece.translate(_OTHER_BYTES) if changed else piece


def _raw(message: StoredMessage) -> Generator[bytes, None, None]:
    with message.path.open("rb") as file:
        while piece := file.read(_RAW_BYTES):
            yield piece


async def _ahead(exchange: Exchange, pieces: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
    """The pieces, of which the next are made in a thread while these are sent."""
    loop, threads, reading = asyncio.get_running_loop(), exchange.world.threads, _Reading(pieces)
    coming = loop.run_in_executor(threads, reading.take)
    try:
        while batch := await coming:
            coming = loop.run_in_executor(threads, reading.take)
            for piece in batch:
                yield piece
    finally:
        threads.submit(reading.close)


class _Reading:
    """Takes pieces from a generator that one thread at a time may use."""

    def __init__(self, pieces: Generator[bytes, None, None]) -> None:
        self._pieces = pieces
        self._lock = threading.Lock()

    def take(self) -> list[bytes]:
        """The next ones, together about as large as is read ahead; none at the end."""
        taken: list[bytes] = []
        size = 0
        with self._lock:
            while size < _AHEAD_BYTES and (piece := next(self._pieces, None)) is not None:
                taken.append(piece)
                size += len(piece)
        return taken

    def close(self) -> None:
        with self._lock:
            self._pieces.close()


async def _base64(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    carry = b""
    async for piece in pieces:
        data = carry + piece
        whole = len(data) - len(data) % _GROUP_BYTES
        carry = data[whole:]
        if whole:
            yield pybase64.b64encode(data[:whole])
    if carry:
        yield pybase64.b64encode(carry)
