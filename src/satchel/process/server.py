"""The HTTP server of both programs: uvicorn with its own access log off, stopped by SIGTERM or SIGINT as a success."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Generator
from functools import partial
from types import FrameType
from typing import cast

import structlog
import uvicorn
from starlette.types import ASGIApp

from satchel.process.protocol import DEFAULT_PATIENCE, BoundedProtocol, Patience

_KEEP_ALIVE_SECONDS = 65

log = structlog.get_logger(__name__)


class CannotListen(Exception):
    """The address cannot be listened on; the message says why and what to change."""


class Server(uvicorn.Server):
    """Serves until SIGTERM or SIGINT, then lets running requests end within the grace and returns.

    `serve` raises CannotListen.
    """

    def __init__(
        self,
        application: ASGIApp,
        *,
        host: str,
        port: int,
        grace_seconds: float,
        protocol: type[BoundedProtocol] = BoundedProtocol,
        patience: Patience = DEFAULT_PATIENCE,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                host=host,
                port=port,
                # uvicorn only ever calls it.
                http=cast("type[asyncio.Protocol]", partial(protocol, patience=patience)),
                ws="none",
                lifespan="off",
                # The programs themselves know whom to believe; uvicorn would believe anyone on this machine.
                proxy_headers=False,
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, int(grace_seconds)),
            )
        )

        self._grace_seconds = grace_seconds
        self._stop_asked_at: float | None = None

    @property
    def grace_left_seconds(self) -> float:
        """What is left of the grace for others who end after the server, counted from the first signal."""
        if self._stop_asked_at is None:
            return self._grace_seconds
        return max(0.0, self._stop_asked_at + self._grace_seconds - time.monotonic())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._stop_asked_at is None:
            self._stop_asked_at = time.monotonic()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as ending:
            # uvicorn would end the process here, with nothing but a line in its log.
            why = ending.__context__
            # A name that does not resolve has a negative number, which is not the system's.
            number = why.errno if isinstance(why, OSError) else None
            told = os.strerror(number) if number is not None and number > 0 else str(why)
            where = f"{self.config.host}, port {self.config.port}"
            raise CannotListen(f"Cannot listen on {where}: {told}. Change listen_host or listen_port.") from None
        for server in self.servers:
            for listener in server.sockets:
                log.info("listening", port=listener.getsockname()[1])

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
