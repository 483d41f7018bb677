"""Receivers of webhooks on loopback, that behave as a test says, and a sender that may call them."""

import asyncio
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from aiohttp import web

from satchel.gateway.settings import WebhookSettings
from satchel.gateway.webhooks.decision import Outcome
from satchel.gateway.webhooks.sender import WebhookSender

BODY = b'{"id": "m"}'
LOCAL = WebhookSettings(allow_http=True, allowed_networks=["127.0.0.0/8", "::1"], timeout_seconds=20)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


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


async def started(receiver: Receiver, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> web.AppRunner:
    """The receiver listens; its URL names `host`, which is this machine."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    receiver.url = f"{'https' if tls else 'http'}://{host}:{runner.addresses[0][1]}/webhook"
    return runner


def answering(status: int, body: bytes = b"", **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=headers)

    return answer


def speaking(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def speaking_at_most(version: ssl.TLSVersion, certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's side that knows no newer version of TLS."""
    context = speaking(certificate)
    # So old that OpenSSL wants to be told twice.
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
    return context


def shake_hands(listening: socket.socket, context: ssl.SSLContext) -> str | None:
    """What the server's side of one handshake ends with, in OpenSSL's words."""
    connection, _ = listening.accept()
    with connection:
        try:
            context.wrap_socket(connection, server_side=True).close()
        except ssl.SSLError as error:
            return error.reason
    return None


@asynccontextmanager
async def talking(conversation: Conversation) -> AsyncIterator[str]:
    """The URL of a server that speaks as a conversation says, once the whole request has come."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(BODY))
            await conversation(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhook"


async def attempt(url: str, **settings: float | Path | None) -> Outcome:
    """One attempt by a sender that may call this machine, with these settings beside."""
    sender = WebhookSender(LOCAL.model_copy(update=settings))
    try:
        return await sender.post(url, ["s" * 16], BODY, webhook_id="d-1")
    finally:
        await sender.aclose()
