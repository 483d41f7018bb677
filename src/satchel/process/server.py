"""The HTTP server of both programs: uvicorn with its own access log off, drained by SIGTERM or SIGINT as a success."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from functools import partial
from types import FrameType
from typing import Any, ClassVar, cast

import structlog
import uvicorn
from starlette.types import ASGIApp, Scope
from uvicorn.server import ServerState

from satchel.process.protocol import DEFAULT_PATIENCE, STOPPING, BoundedProtocol, Patience

_KEEP_ALIVE_SECONDS = 65
_STOPPED = (signal.SIGTERM, signal.SIGINT)
# A request of ours that was cut off needs a moment to close what it has open.
_CUT_OFF_SECONDS = 2.0
_GOODBYE_SECONDS = 5.0
_LOOK_SECONDS = 0.02

log = structlog.get_logger(__name__)


class CannotListen(Exception):
    """The address cannot be listened on; the message says why and what to change."""


def is_stopping(scope: Scope) -> bool:
    """Whether the server that brought this request has been asked to stop: what is new has to be refused then."""
    return bool(scope.get("state", {}).get(STOPPING))


class Server(uvicorn.Server):
    """Serves until SIGTERM or SIGINT, then drains and returns.

    While it drains, running requests have the grace to end and it still listens: the application learns from
    `is_stopping` to refuse what comes, so that nobody meets a closed port before the last answer is out. A second
    signal ends at once. What is cut off looks short to its client.

    `serve` raises CannotListen.
    """

    # Before the names of its events in the log, and of its settings in messages.
    event_prefix: ClassVar[str] = ""
    settings_prefix: ClassVar[str] = ""

    def __init__(
        self,
        application: ASGIApp,
        *,
        host: str,
        port: int,
        grace_seconds: float,
        protocol: type[BoundedProtocol] = BoundedProtocol,
        patience: Patience = DEFAULT_PATIENCE,
        tls: ssl.SSLContext | None = None,
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
                ssl_context_factory=(lambda *_: tls) if tls is not None else None,
            )
        )

        self._grace_seconds = grace_seconds
        self._stop_asked_at: float | None = None
        self._hurried = asyncio.Event()

    @property
    def grace_left_seconds(self) -> float:
        """What is left of the grace for others who end after the server, counted from the first signal."""
        if self._stop_asked_at is None:
            return self._grace_seconds
        if self._hurried.is_set():
            return 0.0
        return max(0.0, self._stop_asked_at + self._grace_seconds - time.monotonic())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal asks to drain, the second one to end."""
        if self._stop_asked_at is None:
            self._stop_asked_at = time.monotonic()
        else:
            self._hurried.set()
        self.should_exit = True

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
            prefix = self.settings_prefix
            raise CannotListen(
                f"Cannot listen on {where}: {told}. Change {prefix}listen_host or {prefix}listen_port."
            ) from None
        for server in self.servers:
            for listener in server.sockets:
                log.info(f"{self.event_prefix}listening", port=listener.getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain: uvicorn's own would close the listeners first."""
        state = self.server_state
        running = set(state.tasks)
        answering = {connection for connection in _connections(state) if connection.end_after_answer()}
        self.lifespan.state[STOPPING] = True
        log.info(f"{self.event_prefix}draining", requests=len(running))
        await self._until(running)
        for server in self.servers:
            server.close()
        for connection in list(state.connections):
            connection.shutdown()
        await self._flush(answering)
        await self._cut_off(answering)

    async def _until(self, running: set[asyncio.Task[None]]) -> None:
        """Wait until these have ended, the grace is over, or a second signal has come."""
        hurried = asyncio.create_task(self._hurried.wait())
        everything = asyncio.gather(*running, return_exceptions=True)
        waited: set[asyncio.Future[Any]] = {everything, hurried}
        await asyncio.wait(waited, timeout=self.grace_left_seconds, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()

    async def _flush(self, answering: set[BoundedProtocol]) -> None:
        """Wait for the last bytes of answers that slow clients have not read yet, within the grace."""
        # A client need not say good-bye under TLS, so a connection with nothing to send is not waited for long.
        patient_until = time.monotonic() + _GOODBYE_SECONDS
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            left = answering & set(_connections(self.server_state))
            if not left or self._hurried.is_set() or not self.grace_left_seconds:
                return
            if any(connection.transport.get_write_buffer_size() for connection in left):
                patient_until = time.monotonic() + _GOODBYE_SECONDS
            elif time.monotonic() > patient_until:
                return

    async def _cut_off(self, answering: set[BoundedProtocol]) -> None:
        """Break off what is left: connections first, which most requests notice and end by themselves."""
        state = self.server_state
        if left := answering & set(_connections(state)):
            log.warning(f"{self.event_prefix}cut_off", connections=len(left))
        for connection in _connections(state):
            connection.transport.abort()
        for is_cancelled in (False, True):
            tasks = set(state.tasks)
            for task in tasks if is_cancelled else ():
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=_CUT_OFF_SECONDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Unlike uvicorn's own, does not raise the signal again: a stop that was asked for is a success."""
        loop = asyncio.get_running_loop()
        for number in _STOPPED:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in _STOPPED:
                loop.remove_signal_handler(number)
                if self._stop_asked_at is not None:
                    # A second one ends at once what the program has left to do; as KeyboardInterrupt it would wait for
                    # threads.
                    signal.signal(number, signal.SIG_DFL)


def _connections(state: ServerState) -> list[BoundedProtocol]:
    return [connection for connection in state.connections if isinstance(connection, BoundedProtocol)]


class SideServer(Server):
    """A listener beside the program's own, which ends with the program and knows no signals."""

    def __init__(self, application: ASGIApp, *, host: str, port: int) -> None:
        super().__init__(application, host=host, port=port, grace_seconds=1.0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve for the length of the block. Raises CannotListen."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup()
        serving = asyncio.create_task(self.main_loop())
        try:
            yield
        finally:
            self.handle_exit(signal.SIGTERM, None)
            await serving
            await self.shutdown()
