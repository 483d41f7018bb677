"""Webhook attempts over real connections to receivers that behave well and badly (contract section 8)."""

import asyncio
import gzip
import json
import socket
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler

from satchel import __version__
from satchel.contract.signing import new_secret, verify
from satchel.gateway.settings import WebhookSettings
from satchel.gateway.webhooks.decision import Outcome
from satchel.gateway.webhooks.sender import WebhookSender
from tests.contracts.name_server import AskingResolver, name_server
from tests.contracts.webhook_receivers import BODY, LOCAL, Receiver, answering, attempt, started, talking

NOW = datetime(2026, 7, 1, 12, 0, 30, 700_000, tzinfo=UTC)
SUCCESS = b'{"status": "success"}'
READ_BYTES = 65536


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver(handler=answering(200, SUCCESS))
    runner = await started(receiver)
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def sender() -> AsyncIterator[WebhookSender]:
    sender = WebhookSender(LOCAL, now=lambda: NOW)
    yield sender
    await sender.aclose()


async def test_what_is_sent(receiver: Receiver, sender: WebhookSender) -> None:
    outcome = await sender.post(receiver.url, ["s" * 16], BODY, webhook_id="d-1")
    assert outcome == Outcome(200, SUCCESS)
    ((method, headers, body),) = receiver.requests
    assert (method, body) == ("POST", BODY)
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"] == f"Satchel/{__version__}"
    assert headers["Authorization"] == f"Bearer {'s' * 16}"
    assert headers["webhook-id"] == "d-1"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert verify("s" * 16, headers, body, now=NOW) == "d-1"


async def test_the_first_secret_is_the_bearer_and_all_of_them_sign(receiver: Receiver, sender: WebhookSender) -> None:
    secrets = [new_secret(), new_secret()]
    await sender.post(receiver.url, secrets, BODY, webhook_id="d-1")
    ((_, headers, body),) = receiver.requests
    assert headers["Authorization"] == f"Bearer {secrets[0]}"
    for secret in secrets:
        assert verify(secret, headers, body, now=NOW) == "d-1"


async def test_without_a_secret_there_is_nothing_to_tell_it_by(receiver: Receiver, sender: WebhookSender) -> None:
    await sender.post(receiver.url, [], BODY, webhook_id="d-1")
    headers = receiver.requests[0][1]
    assert not {"Authorization", "webhook-signature"} & set(headers)
    assert headers["webhook-id"] == "d-1"


@pytest.mark.parametrize("status", [200, 201, 204, 400, 404, 429, 500, 503])
async def test_statuses(receiver: Receiver, sender: WebhookSender, status: int) -> None:
    receiver.handler = answering(status, **{"Retry-After": "3"})
    assert await sender.post(receiver.url, [], BODY, webhook_id="d-1") == Outcome(status, b"", "3")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(receiver: Receiver, sender: WebhookSender, status: int) -> None:
    receiver.handler = answering(status, Location=receiver.url)
    assert (await sender.post(receiver.url, [], BODY, webhook_id="d-1")).status == status
    assert len(receiver.requests) == 1


async def test_cookies_are_not_kept(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.handler = answering(200, **{"Set-Cookie": "a=b"})
    for _ in range(2):
        await sender.post(receiver.url, [], BODY, webhook_id="d-1")
    assert "Cookie" not in receiver.requests[1][1]


async def test_http_is_refused_unless_allowed(receiver: Receiver) -> None:
    sender = WebhookSender(WebhookSettings(allowed_networks=["127.0.0.0/8", "::1"]))
    outcome = await sender.post(receiver.url, [], BODY, webhook_id="d-1")
    await sender.aclose()
    assert outcome == Outcome(error="refused_endpoint", refused=True)


async def test_an_answer_is_read_to_a_bound_and_the_connection_dropped(
    receiver: Receiver, sender: WebhookSender
) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)
            sent += 65536

    receiver.handler = endless
    outcome = await sender.post(receiver.url, [], BODY, webhook_id="d-1")
    assert outcome == Outcome(200, b"x" * READ_BYTES, is_cut=True)
    assert sent < 20_000_000


@pytest.mark.parametrize(("size", "is_cut"), [(READ_BYTES, False), (READ_BYTES + 1, True), (10_000_000, True)])
async def test_the_bound(receiver: Receiver, sender: WebhookSender, size: int, is_cut: bool) -> None:
    receiver.handler = answering(200, b"x" * size)
    outcome = await sender.post(receiver.url, [], BODY, webhook_id="d-1")
    assert (len(outcome.answer), outcome.is_cut) == (READ_BYTES, is_cut)


async def test_a_compressed_answer_is_not_unpacked(receiver: Receiver, sender: WebhookSender) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    receiver.handler = answering(200, bomb, **{"Content-Encoding": "gzip"})
    assert await sender.post(receiver.url, [], BODY, webhook_id="d-1") == Outcome(200, bomb)
    assert receiver.requests[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("secret", ["whsec_c2VjcmV0/c2VjcmV0+c2VjcmV0", "a-secret-of-my-own"])
async def test_a_secret_that_comes_back_is_blanked(receiver: Receiver, sender: WebhookSender, secret: str) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        bearer = request.headers["Authorization"]
        return web.Response(text=f'{{"status": "success", "message": "{bearer} {bearer.replace("/", chr(92) + "/")}"}}')

    receiver.handler = echo
    outcome = await sender.post(receiver.url, [secret, "another-secret"], BODY, webhook_id="d-1")
    message = json.loads(outcome.answer)["message"]
    assert set(message.replace("Bearer", "")) == {"*", " "}


async def test_words_that_are_a_secret_by_chance_stay(receiver: Receiver, sender: WebhookSender) -> None:
    assert (await sender.post(receiver.url, ["success"], BODY, webhook_id="d-1")).answer == SUCCESS


async def test_a_receiver_that_floods_is_read_little_by_little(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read at once is worked through before anything else of the process goes on."""
    sizes: list[int] = []
    received = ResponseHandler.data_received

    def noted(handler: ResponseHandler, data: bytes) -> None:
        sizes.append(len(data))
        received(handler, data)

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(30):
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3000)
            await writer.drain()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n" + SUCCESS)
        await writer.drain()

    monkeypatch.setattr(ResponseHandler, "data_received", noted)
    async with talking(flood) as url:
        assert await attempt(url) == Outcome(200, SUCCESS)
    assert max(sizes) <= 65536 < sum(sizes)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n" + SUCCESS, id="HTTP/1.0, until the end"),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n" + SUCCESS,
            id="interim answers first",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'9;x=y\r\n{"status"\r\nc\r\n: "success"}\r\n0\r\nTrailer: t\r\n\r\n',
            id="chunked",
        ),
        pytest.param(b"HTTP/1.1 200\r\nContent-Length: 21\r\n\r\n" + SUCCESS, id="no reason"),
    ],
)
async def test_answers_that_are_understood(wire: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(wire)

    async with talking(speak) as url:
        assert await attempt(url) == Outcome(200, SUCCESS)


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        pytest.param(b"", "disconnected", id="closed before the head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-", "disconnected", id="closed in the head"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", "disconnected", id="nothing after an interim answer"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + SUCCESS, "disconnected", id="a short body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n" + SUCCESS, "disconnected", id="a lost chunk"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not_http", id="a broken chunk"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n" + SUCCESS + b"more", "not_http", id="more than announced"
        ),
        pytest.param(b"<html>200 OK</html>\r\n", "not_http", id="HTTP/0.9"),
        pytest.param(b"SSH-2.0-x\r\n\r\n", "not_http", id="another protocol"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x28" * 3, "not_http", id="TLS"),
        pytest.param(b"HTTP/1.1 banana\r\n\r\n", "not_http", id="no status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n", "not_http", id="a huge header"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(5000)) + b"\r\n",
            "not_http",
            id="very many headers",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "not_http", id="two lengths"
        ),
    ],
)
async def test_answers_that_are_none(wire: bytes, error: str) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(wire)
        await writer.drain()

    async with talking(speak) as url:
        assert await attempt(url) == Outcome(error=error)


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
    ],
    ids=["before the head", "in the head", "before the body", "in the body"],
)
async def test_connections_that_are_reset(wire: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(wire)
        await writer.drain()
        # Lets the client read what has come, which a reset throws away.
        await asyncio.sleep(0.05)
        at_once = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.transport.abort()

    async with talking(speak) as url:
        assert await attempt(url) == Outcome(error="disconnected")


@pytest.mark.parametrize(
    "wire",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"],
    ids=["silence", "no body", "a drop now and then"],
)
async def test_the_limit_holds_for_the_whole_attempt(wire: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(wire)
        while True:
            await asyncio.sleep(0.1)
            if wire.endswith(b"OK\r\n\r\n"):
                writer.write(b"x")
            await writer.drain()
            if reader.at_eof():
                return

    async with talking(speak) as url:
        assert await attempt(url, timeout_seconds=0.5) == Outcome(error="timeout")


async def test_the_limit_holds_while_it_connects() -> None:
    """A server whose queue of connections is full lets further ones wait."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        assert await attempt(url, timeout_seconds=0.5) == Outcome(error="timeout")


async def test_nobody_listens(sender: WebhookSender) -> None:
    assert await sender.post("http://127.0.0.1:9/", [], BODY, webhook_id="d-1") == Outcome(error="cannot_connect")


async def test_a_name_that_nobody_has() -> None:
    async with name_server({}) as address:
        sender = WebhookSender(LOCAL, resolver=AskingResolver(address))
        outcome = await sender.post("http://nobody.example.test/", [], BODY, webhook_id="d-1")
        await sender.aclose()
    assert outcome == Outcome(error="unknown_host")


async def test_lookups_that_hang_hold_up_nobody_else(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    answered, real = threading.Event(), socket.getaddrinfo
    hanging: list[threading.Thread] = []

    def lookup(host: str, *rest: Any, **more: Any) -> Any:
        if host == "slow.example.test":
            hanging.append(threading.current_thread())
            answered.wait(10)
            raise socket.gaierror
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    sender = WebhookSender(LOCAL)
    # Each name of its own: one that is being looked up is not asked for twice.
    slow = [f"http://slow.example.test:{port}/" for port in range(1, 51)]
    waiting = [asyncio.create_task(sender.post(url, [], BODY, webhook_id="d-1")) for url in slow]
    await asyncio.sleep(0)
    outcome = await sender.post(receiver.url.replace("127.0.0.1", "localhost"), [], BODY, webhook_id="d-1")
    elsewhere = await asyncio.to_thread(lambda: "free")
    assert (outcome, elsewhere, any(task.done() for task in waiting)) == (Outcome(200, SUCCESS), "free", False)
    answered.set()
    assert set(await asyncio.gather(*waiting)) == {Outcome(error="unknown_host")}
    # Nor do they hold up the end of the process.
    assert len(hanging) == len(slow)
    assert all(thread.daemon for thread in hanging)
    await sender.aclose()
