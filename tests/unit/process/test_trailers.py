"""What follows the body of a chunked answer, byte by byte."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from satchel.process.protocol import BoundedProtocol
from satchel.process.trailers import EXTENSION
from tests.unit.process.test_protocol import connection

DIGEST = (b"repr-digest", b"sha-256=:x:")
START: Message = {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
LAST: Message = {"type": "http.response.body", "body": b"last"}
TRAILERS: Message = {"type": EXTENSION, "headers": [DIGEST], "more_trailers": False}


def answering(*messages: Message) -> tuple[Any, list[bool]]:
    """An application that sends these, and whether it was offered trailers."""
    offered: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        offered.append(EXTENSION in (scope.get("extensions") or {}))
        for message in messages:
            await send(dict(message))

    return app, offered


async def exchange(app: Any, *lines: bytes, version: bytes = b"1.1") -> tuple[bytes, bool]:
    """What one request got, and whether the connection was closed after it."""
    protocol, wire = connection(BoundedProtocol, app)
    protocol.data_received(b"\r\n".join([b"GET / HTTP/" + version, b"Host: x", *lines, b"", b""]))
    for _ in range(20):
        await asyncio.sleep(0)
    return wire.written.partition(b"\r\n\r\n")[2], wire.closed


@pytest.mark.parametrize("te", [b"TE: trailers", b"te: gzip;q=0.5 , Trailers", b"TE: trailers;q=1"])
async def test_trailers_stand_between_the_last_chunk_and_the_empty_line(te: bytes) -> None:
    app, offered = answering(START, {**LAST, "body": b"first", "more_body": True}, LAST, TRAILERS)
    body, closed = await exchange(app, te)
    assert body == b"5\r\nfirst\r\n4\r\nlast\r\n0\r\nrepr-digest: sha-256=:x:\r\n\r\n"
    assert (offered, closed) == ([True], False)


@pytest.mark.parametrize("te", [b"TE: gzip", b"TE: trailersx", b"X-TE: trailers"])
async def test_clients_that_do_not_take_trailers_are_not_offered_any(te: bytes) -> None:
    app, offered = answering({**START, "trailers": False}, LAST)
    assert await exchange(app, te) == (b"4\r\nlast\r\n0\r\n\r\n", False)
    assert offered == [False]


async def test_nor_are_those_of_http_1_0() -> None:
    app, offered = answering({**START, "trailers": False}, LAST)
    await exchange(app, b"TE: trailers", version=b"1.0")
    assert offered == [False]


async def test_answers_without_trailers_are_as_ever() -> None:
    app, _ = answering({**START, "trailers": False}, LAST)
    assert await exchange(app, b"TE: trailers") == (b"4\r\nlast\r\n0\r\n\r\n", False)


async def test_an_empty_body_has_trailers_too() -> None:
    app, _ = answering(START, {**LAST, "body": b""}, TRAILERS)
    assert await exchange(app, b"TE: trailers") == (b"0\r\nrepr-digest: sha-256=:x:\r\n\r\n", False)


async def test_trailers_in_several_parts_and_none_at_all() -> None:
    part = {**TRAILERS, "more_trailers": True}
    app, _ = answering(START, LAST, part, {**TRAILERS, "headers": [(b"a", b"b")]})
    assert (await exchange(app, b"TE: trailers"))[0].endswith(b"0\r\nrepr-digest: sha-256=:x:\r\na: b\r\n\r\n")
    app, _ = answering(START, LAST, {**TRAILERS, "headers": []})
    assert (await exchange(app, b"TE: trailers"))[0] == b"4\r\nlast\r\n0\r\n\r\n"


async def test_an_answer_of_known_length_has_no_place_for_them() -> None:
    app, _ = answering({**START, "headers": [(b"content-length", b"4")]}, LAST, TRAILERS)
    assert await exchange(app, b"TE: trailers") == (b"last", False)


async def test_an_application_that_breaks_before_its_trailers_leaves_the_answer_unended() -> None:
    app, _ = answering(START, LAST)
    assert await exchange(app, b"TE: trailers") == (b"4\r\nlast\r\n", True)


@pytest.mark.parametrize("trailer", [(b"a b", b"c"), (b"a:", b"c"), (b"a", b"b\r\nc: d")])
async def test_no_trailer_can_inject_another(trailer: tuple[bytes, bytes]) -> None:
    app, _ = answering(START, LAST, {**TRAILERS, "headers": [trailer]})
    assert await exchange(app, b"TE: trailers") == (b"4\r\nlast\r\n", True)
