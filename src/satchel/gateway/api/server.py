"""The HTTP server: uvicorn with its limits set, its own access log off and its bare 400 in the API's envelope."""

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import Generator

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from satchel.contract.errors import BadRequest, Link, encode_error

_KEEP_ALIVE_SECONDS = 65

log = structlog.get_logger(__name__)


class EnvelopeProtocol(HttpToolsProtocol):
    """Answers what is no HTTP request at all, and so never comes to the application, with the envelope too."""

    def send_400_response(self, msg: str) -> None:
        request_id = secrets.token_hex(12)
        error = BadRequest("This is not a valid HTTP request.")
        body = encode_error(error, Link("", ""), request_id)
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()


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
