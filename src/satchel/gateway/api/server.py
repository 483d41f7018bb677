"""The HTTP server: uvicorn with its limits set, its own access log off and its bare 400 in the API's envelope."""

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import Generator
from http import HTTPStatus

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from satchel.contract.errors import BadRequest, Link, encode_error

_KEEP_ALIVE_SECONDS = 65
_MAX_HEAD_BYTES = 64 * 1024

log = structlog.get_logger(__name__)


class EnvelopeProtocol(HttpToolsProtocol):
    """Answers what never comes to the application with the envelope too: what is no HTTP, and endless headers."""

    _head_bytes = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self._refuse(BadRequest("The request's headers are too large.", status=431))

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest("This is not a valid HTTP request."))

    def _refuse(self, error: BadRequest) -> None:
        request_id = secrets.token_hex(12)
        body = encode_error(error, Link("", ""), request_id)
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
        log.info("request_refused", status=error.status)


class ApiServer(uvicorn.Server):
    """Serves until SIGTERM or SIGINT, then lets running requests end within the grace and returns."""

    def __init__(self, application: ASGIApp, *, host: str, port: int, grace_seconds: int) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                host=host,
                port=port,
                http=EnvelopeProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=grace_seconds,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                log.info("gateway_listening", port=listener.getsockname()[1])

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Unlike uvicorn's own, does not raise the signal again: a stop that was asked for is a success."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
