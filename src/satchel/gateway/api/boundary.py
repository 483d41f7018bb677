"""The outermost layer of the API: request ids, one log line per request, and no failure that is not an envelope."""

import re
import secrets
import time
from dataclasses import dataclass

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from satchel.contract.errors import Reason, UpstreamTrouble
from satchel.gateway.admission import Caller
from satchel.gateway.api.failures import answer_failure, header, internal_error
from satchel.gateway.audit.recorder import Recorder
from satchel.gateway.telemetry.metrics import Metrics
from satchel.gateway.telemetry.spans import RequestSpan, Tracing
from satchel.process.logs import bound, error_place
from satchel.process.server import is_stopping

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
# A load balancer sends the next try elsewhere; a single gateway is back in about that time.
_STOPPING_RETRY_SECONDS = 5.0

log = structlog.get_logger(__name__)


class StreamBroken(Exception):
    """The body of an answer cannot be ended as announced; the connection has to go, so that it looks short."""


@dataclass(frozen=True, slots=True)
class Observers:
    """Who is told of every call that has ended: the audit trail, the metrics, the traces."""

    recorder: Recorder | None = None
    metrics: Metrics | None = None
    tracing: Tracing | None = None


NOBODY = Observers()


@dataclass(slots=True)
class _Sent:
    status: int = 0
    body_bytes: int = 0


class Boundary:
    """ASGI middleware around all routes. It never lets an exception out to the server.

    While the server drains, whatever is no question for the process's health is refused.
    """

    def __init__(self, app: ASGIApp, *, public_url: str | None, observers: Observers = NOBODY) -> None:
        self._app = app
        self._public_url = public_url
        self._recorder = observers.recorder
        self._metrics = observers.metrics
        self._tracing = observers.tracing
        # The module's own is put together anew for each line.
        self._log = log.bind()

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
        span = self._begin_span(scope)
        with bound(request_id=request_id) if span is None else bound(request_id=request_id, trace_id=span.trace_id):
            try:
                await self._answer(scope, receive, send_marked, sent)
            finally:
                caller.end()
                self._tell(scope, caller, sent, time.perf_counter() - started)
                if span is not None:
                    span.end(_route(scope), sent.status)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, sent: _Sent) -> None:
        """The application's answer, or that of a failure of ours.

        When the answer has begun already, returning without the end of the body makes the server close the connection.
        """
        try:
            if is_stopping(scope) and scope["path"] not in _HEALTH_PATHS:
                await answer_failure(_stopping(), scope, receive, send, public_url=self._public_url)
            else:
                await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever it is, its class and place are logged, and never its text
            _log_failure(error)
            if not sent.status:
                await answer_failure(internal_error(), scope, receive, send, public_url=self._public_url)

    def _begin_span(self, scope: Scope) -> RequestSpan | None:
        # Whoever asks for the process's health does so every few seconds.
        if self._tracing is None or scope["path"] in _HEALTH_PATHS:
            return None
        return self._tracing.begin_request(scope["method"], scope["scheme"], header(scope, b"traceparent"))

    def _tell(self, scope: Scope, caller: Caller, sent: _Sent, seconds: float) -> None:
        route, method, status = _route(scope), scope["method"], sent.status
        if self._recorder is not None:
            self._recorder.note(caller, route, status, scope["state"]["request_id"])
        if self._metrics is not None:
            self._metrics.note(caller, route, method, status, seconds, sent.body_bytes)
        write = self._log.debug if scope["path"] in _HEALTH_PATHS else self._log.info
        write(
            "request",
            method=method,
            route=route,
            status=status,
            reason=caller.refusal,
            body_bytes=sent.body_bytes,
            milliseconds=round(seconds * 1000, 1),
            key_id=caller.key_id,
            message_id=caller.message_id,
        )


def _log_failure(error: Exception) -> None:
    if isinstance(error, StreamBroken):
        log.warning("answer_broken_off", reason=str(error))
    else:
        log.error("call_failed", error=type(error).__name__, where=error_place(error))


def _stopping() -> UpstreamTrouble:
    return UpstreamTrouble(
        "The gateway is stopping. Try again later.",
        status=503,
        reason=Reason.STOPPING,
        retry_after_seconds=_STOPPING_RETRY_SECONDS,
    )


def _route(scope: Scope) -> str | None:
    """The template of the path, None where no route took it."""
    path: str | None = getattr(scope.get("route"), "path", None)
    return path


def _request_id(scope: Scope) -> str:
    asked = header(scope, b"x-request-id")
    return asked if asked is not None and _SANE_REQUEST_ID.fullmatch(asked) else secrets.token_hex(12)


def _own_headers(request_id: str, caller: Caller) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-request-id", request_id.encode())]
    if caller.rate is not None:
        headers.extend((name.lower().encode(), value.encode()) for name, value in caller.rate.headers().items())
    return headers
