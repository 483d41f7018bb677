"""What the server itself refuses, before an application sees it: what is no HTTP, heads without end, and clients
that neither send nor read."""

import asyncio
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from satchel.process.heads import HeadHolder
from satchel.process.trailers import with_trailers

MAX_HEAD_BYTES = 64 * 1024
# In the state of every request that comes while the server drains.
STOPPING = "satchel.stopping"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may keep the server waiting: a request to be whole, from its first byte to its last, and
    an answer to be read on by a client that has stopped reading."""

    request_seconds: float = 30.0
    stall_seconds: float = 120.0


DEFAULT_PATIENCE = Patience()


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A request may bring 64 KiB of headers and trailers; its body is the application's to bound.

    A request that is not whole in time is refused with 408, or broken off where the application has it already; a
    client that reads nothing for too long loses the connection at once, with what it was still to get.
    """

    def __init__(self, *args: Any, patience: Patience = DEFAULT_PATIENCE, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience = patience
        self._head_bytes = 0
        self._brought_body = False
        self._has_head = False
        self._is_whole = False
        self._request_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None

    def refusal(self, status: HTTPStatus) -> tuple[dict[str, str], bytes]:
        """Headers and body of a refusal; subclasses say more."""
        return {}, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writing = cast("asyncio.Transport", transport)
        super().connection_made(writing)
        # What the kernel does not take waits with the application, which knows how much it may hold. The usual 64 KiB
        # came to 200 MiB with a thousand slow clients, since a piece that begins below the mark is taken whole. Not 0,
        # at which uvloop's TLS never says that it may be written to again.
        writing.set_write_buffer_limits(high=1)
        self._request_timer = self.loop.call_later(self._patience.request_seconds, self._request_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        _stop(self._request_timer)
        _stop(self._stall_timer)
        self._end_answering()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall_timer is None:
            self._watch_for_a_stall()

    def resume_writing(self) -> None:
        super().resume_writing()
        _stop(self._stall_timer)
        self._stall_timer = None

    def data_received(self, data: bytes) -> None:
        self._brought_body = False
        self._is_whole = False
        super().data_received(data)
        # What comes with a piece of the body is as bounded as one read is.
        if not self._brought_body:
            self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if not self._is_whole and self._request_timer is None and not self.transport.is_closing():
            self._request_timer = self.loop.call_later(self._patience.request_seconds, self._request_is_late)

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        self._is_whole = self._has_head = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._has_head = True
        super().on_headers_complete()
        holder = HeadHolder(self.transport)
        self.cycle.transport = cast("asyncio.Transport", holder)
        self.cycle.on_response = partial(self._end_answer, holder)
        # The parser takes what follows a CONNECT or an Upgrade for another protocol, and would leave it unanswered.
        if self.app_state.get(STOPPING) or self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def _end_answer(self, holder: HeadHolder) -> None:
        holder.flush()
        self.on_response_complete()

    def on_message_complete(self) -> None:
        self._is_whole = True
        # What comes now is of the next request, or an empty line, which is of none (RFC 9112 section 2.2).
        self._has_head = False
        _stop(self._request_timer)
        self._request_timer = None
        super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        self._brought_body = True
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST)

    def end_after_answer(self) -> bool:
        """Have an answer that is under way be the connection's last; False where none is."""
        # uvicorn has no cycle before the first request, whatever its types say.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.response_complete:
            return self.transport.get_write_buffer_size() > 0
        cycle.keep_alive = False
        return True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, with_trailers(app, cycle))

    def _end_answering(self) -> None:
        """Have the application know that nobody listens any more.

        uvicorn tells the newest request of a connection, while it is an older one of a pipeline that is being answered.
        """
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()

    def _request_is_late(self) -> None:
        self._request_timer = None
        cycle = cast("RequestResponseCycle | None", self.cycle)
        is_answering = cycle is not None and not cycle.response_complete
        if self.flow.read_paused or (is_answering and not self._has_head):
            # The server's own doing: the request waits for its turn, behind an answer or a body that is not taken up.
            self._request_timer = self.loop.call_later(self._patience.request_seconds, self._request_is_late)
        elif self._head_bytes and not self._has_head:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        elif not self.transport.is_closing():
            log.info("request_timed_out")
            self.transport.abort()

    def _watch_for_a_stall(self) -> None:
        """A client that is only slow shows it by what is left to send."""
        left_bytes = self.transport.get_write_buffer_size()

        def look() -> None:
            self._stall_timer = None
            if self.transport.get_write_buffer_size() < left_bytes:
                self._watch_for_a_stall()
            else:
                log.info("client_stalled")
                self.transport.abort()

        self._stall_timer = self.loop.call_later(self._patience.stall_seconds, look)

    def _refuse(self, status: HTTPStatus) -> None:
        # uvicorn has no cycle before the first request, whatever its types say.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        # Within an answer that is under way it would be taken for the answer's own bytes: that one only breaks off.
        if cycle is None or cycle.response_complete:
            headers, body = self.refusal(status)
            headers = headers | {"content-length": str(len(body)), "connection": "close"}
            lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {headers[name]}" for name in headers)]
            self.transport.write("\r\n".join([*lines, "", ""]).encode("ascii") + body)
        self._end_answering()
        self.transport.close()
        log.info("request_refused", status=status.value)


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
