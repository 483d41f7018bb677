"""Webhook attempts over real connections to receivers that behave well and badly (contract section 8)."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from satchel import __version__
from satchel.gateway.settings import WebhookSettings
from satchel.gateway.webhooks.decision import Outcome
from satchel.gateway.webhooks.sender import WebhookSender

BODY = b'{"id": "m"}'
LOCAL = WebhookSettings(allow_http=True, allowed_networks=["127.0.0.0/8", "::1"], timeout_seconds=1.0)
_SELF_SIGNED = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Receiver:
    """Answers by its handler and remembers what it was sent."""

    url: str = ""
    handler: Handler | None = None
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, dict(request.headers), await request.read()))
        assert self.handler is not None
        return await self.handler(request)


async def started(receiver: Receiver, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"{'https' if tls else 'http'}://{host}:{port}/webhook"
    return runner


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = await started(receiver)
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def sender() -> AsyncIterator[WebhookSender]:
    sender = WebhookSender(LOCAL)
    yield sender
    await sender.aclose()


def answering(status: int, body: bytes = b"", **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=headers)

    return answer


async def test_what_is_sent(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.handler = answering(200, b'{"status": "success"}')
    outcome = await sender.post(receiver.url, ["s" * 16], BODY, webhook_id="d-1")
    assert outcome == Outcome(200, b'{"status": "success"}')
    ((method, headers, body),) = receiver.requests
    assert (method, body) == ("POST", BODY)
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"] == f"Satchel/{__version__}"
    assert headers["Authorization"] == f"Bearer {'s' * 16}"
    assert headers["webhook-id"] == "d-1"


async def test_without_a_secret_there_is_no_authorization(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.handler = answering(200)
    await sender.post(receiver.url, [], BODY, webhook_id="d-1")
    assert "Authorization" not in receiver.requests[0][1]


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


async def test_an_endless_answer_is_read_to_a_bound(receiver: Receiver, sender: WebhookSender) -> None:
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
    assert (outcome.status, len(outcome.answer)) == (200, 65536)
    assert sent < 20_000_000


async def test_a_receiver_that_does_not_answer(receiver: Receiver, sender: WebhookSender) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    receiver.handler = silent
    assert await sender.post(receiver.url, [], BODY, webhook_id="d-1") == Outcome(error="timeout")


async def test_a_receiver_that_hangs_up(receiver: Receiver, sender: WebhookSender) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    receiver.handler = hang_up
    outcome = await sender.post(receiver.url, [], BODY, webhook_id="d-1")
    assert outcome.status is None
    assert outcome.error is not None
    assert not outcome.refused


async def test_an_answer_that_breaks_off(receiver: Receiver, sender: WebhookSender) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"status": "success"}')
        assert request.transport is not None
        request.transport.close()
        return response

    receiver.handler = break_off
    outcome = await sender.post(receiver.url, [], BODY, webhook_id="d-1")
    assert outcome.status is None


async def test_nobody_listens(sender: WebhookSender) -> None:
    assert await sender.post("http://127.0.0.1:9/", [], BODY, webhook_id="d-1") == Outcome(error="cannot_connect")


async def test_what_speaks_no_http(sender: WebhookSender) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-x\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        outcome = await sender.post(f"http://127.0.0.1:{port}/", [], BODY, webhook_id="d-1")
    assert outcome.status is None
    assert outcome.error is not None


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "127\N{IDEOGRAPHIC FULL STOP}0.0.1",
        "\N{FULLWIDTH DIGIT ONE}27.0.0.1",
        "\N{CIRCLED DIGIT ONE}27.0.0.1",
    ],
)
async def test_addresses_inside_are_refused_before_anything_is_sent(receiver: Receiver, host: str) -> None:
    receiver.handler = answering(200)
    sender = WebhookSender(WebhookSettings(allow_http=True))
    outcome = await sender.post(receiver.url.replace("127.0.0.1", host), [], BODY, webhook_id="d-1")
    await sender.aclose()
    assert outcome == Outcome(error="refused_address", refused=True)
    assert receiver.requests == []


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "127.0.0.1."])
async def test_other_ways_to_write_an_address_lead_nowhere(receiver: Receiver, host: str) -> None:
    receiver.handler = answering(200)
    sender = WebhookSender(WebhookSettings(allow_http=True))
    outcome = await sender.post(receiver.url.replace("127.0.0.1", host), [], BODY, webhook_id="d-1")
    await sender.aclose()
    assert outcome.status is None
    assert receiver.requests == []


@pytest.mark.parametrize("host", ["a..example.com", f"{'a' * 64}.example.com"])
async def test_a_host_that_can_be_no_name_is_refused(sender: WebhookSender, host: str) -> None:
    assert await sender.post(f"http://{host}/", [], BODY, webhook_id="d-1") == Outcome(
        error="refused_endpoint", refused=True
    )


async def test_http_is_refused_unless_allowed(receiver: Receiver) -> None:
    sender = WebhookSender(WebhookSettings(allowed_networks=["127.0.0.0/8", "::1"]))
    outcome = await sender.post(receiver.url, [], BODY, webhook_id="d-1")
    await sender.aclose()
    assert outcome == Outcome(error="refused_endpoint", refused=True)


async def test_a_certificate_that_nobody_vouches_for(tmp_path: Path, sender: WebhookSender) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [*_SELF_SIGNED, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver = Receiver(handler=answering(200))
    runner = await started(receiver, context)
    outcome = await sender.post(receiver.url, ["s" * 16], BODY, webhook_id="d-1")
    await runner.cleanup()
    assert outcome == Outcome(error="certificate")
    assert receiver.requests == []
