"""The outermost layer of the API: request ids, one log line per request, and no failure that is not an envelope."""

import re
import secrets
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from satchel.gateway.admission import Caller
from satchel.gateway.api.failures import answer_failure, header, internal_error
from satchel.gateway.recorder import Recorder
from satchel.process.logs import error_place

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET_PATHS = frozenset({"/healthz", "/readyz"})

log = structlog.get_logger(__name__)


class StreamBroken(Exception):
    """The body of an answer cannot be ended as announced; the connection has to go, so that it looks short."""


@dataclass(slots=True)
class _Sent:
    status: int = 0
    body_bytes: int = 0


class Boundary:
    """ASGI middleware around all routes. It never lets an exception out to the server."""

    def __init__(self, app: ASGIApp, *, public_url: str | None, recorder: Recorder | None = None) -> None:
        self._app = app
        self._public_url = public_url
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        client = scope.get("client")
        caller = Caller(address=client[0] if client else None)
        scope.setdefault("state", {}).update(request_id=request_id, caller=caller)
        sent = _Sent()

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_own_headers(request_id, caller)]
            else:
                sent.body_bytes += len(message.get("body", b""))
            await send(message)

        started = time.perf_counter()
        with bound_contextvars(request_id=request_id):
            try:
                async with _Containment() as containment:
                    await self._app(scope, receive, send_marked)
                if containment.failed and not sent.status:
                    failure = internal_error()
                    await answer_failure(failure, scope, receive, send_marked, public_url=self._public_url)
            finally:
                caller.end()
                if self._recorder is not None:
                    self._recorder.note(caller, getattr(scope.get("route"), "path", None), sent.status, request_id)
                _log_request(scope, caller, sent, time.perf_counter() - started)


class _Containment:
    """Logs an exception by its class and place, never by its text, and lets it go no further.

    When the answer has begun already, returning without the end of the body makes the server close the connection.
    """

    def __init__(self) -> None:
        self.failed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.failed = True
        if isinstance(error, StreamBroken):
            log.warning("answer_broken_off", reason=str(error))
        else:
            log.error("call_failed", error=type(error).__name__, where=error_place(error))
        return True


def _request_id(scope: Scope) -> str:
    asked = header(scope, b"x-request-id")
    return asked if asked is not None and _SANE_REQUEST_ID.fullmatch(asked) else secrets.token_hex(12)


def _own_headers(request_id: str, caller: Caller) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-request-id", request_id.encode())]
    if caller.rate is not None:
        headers.extend((name.lower().encode(), value.encode()) for name, value in caller.rate.headers().items())
    return headers


def _log_request(scope: Scope, caller: Caller, sent: _Sent, seconds: float) -> None:
    write = log.debug if scope["path"] in _QUIET_PATHS else log.info
    write(
        "request",
        method=scope["method"],
        route=getattr(scope.get("route"), "path", None),
        status=sent.status,
        body_bytes=sent.body_bytes,
        milliseconds=round(seconds * 1000, 1),
        key_id=caller.key_id,
    )
