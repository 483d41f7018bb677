"""The webhook receiver (contract section 9): checks the secret, reads a bounded body, and answers what has happened."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from satchel.collector.records import Accepted, Event, Progress
from satchel.contract.events import RECEIVED, IncomingEvent, ReceiverAnswer, decode_event, failure, success
from satchel.process.server import is_stopping

log = structlog.get_logger(__name__)

OVERLOADED_RETRY_AFTER_SECONDS = 10
STOPPING_RETRY_AFTER_SECONDS = 5


class Intake(Protocol):
    """What the receiver needs of the collector."""

    async def accept(self, event: Event, *, max_pending: int) -> Accepted: ...

    async def wait(self, message_id: str, *, timeout_seconds: float) -> Progress: ...

    async def answers(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class ReceiverOptions:
    """`inline_timeout_seconds` None: queued mode. A sender may have any of the `secrets`, of which there are two while
    it is changed; without one, whoever reaches the port is believed."""

    path: str
    secrets: tuple[str, ...]
    max_event_bytes: int
    max_pending_events: int
    trust_has_attachments: bool
    inline_timeout_seconds: float | None


class Receiver:
    """Answers webhooks. Every answer but 401 is the envelope of contract section 8.

    200 success: the event is durable (queued), or its files are stored (inline), or there is nothing to do.
    200 error: inline mode only, some files failed for good; the ledger says which. 400: the body is not an event.
    413: the body is too large. 429: too much is pending. 503: the event could not be written,
    or (inline mode) the files are not stored in time; come again.
    """

    def __init__(self, intake: Intake, options: ReceiverOptions) -> None:
        self._intake = intake
        self._options = options

    async def webhook(self, request: Request) -> Response:
        if not _is_authorized(request.headers.get("authorization"), self._options.secrets):
            return Response(status_code=401)
        if is_stopping(request.scope):
            answer = failure("The collector is stopping. Send it again later.")
            return _answer(answer, status=503, headers={"Retry-After": str(STOPPING_RETRY_AFTER_SECONDS)})
        try:
            body = await _read_at_most(request, self._options.max_event_bytes)
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            message = f"The event is larger than {self._options.max_event_bytes} bytes."
            return _answer(failure(message), status=413)
        try:
            event = decode_event(body)
        except ValueError:
            log.warning("event_refused", bytes=len(body))
            return _answer(failure("The body is not an event: JSON with an id and an event is expected."), status=400)
        try:
            return await self._take_in(event)
        except SQLAlchemyError as error:
            log.warning("event_not_written", message_id=event.id, error=type(error).__name__)
            return _answer(failure("The event could not be written to disk. Send it again later."), status=503)

    async def _take_in(self, incoming: IncomingEvent) -> Response:
        without = self._options.trust_has_attachments and incoming.has_attachments is False
        if incoming.event != RECEIVED or without:
            return _answer(success("Nothing to download."))
        event = Event(incoming.id, incoming.mailbox or "", incoming.sender_address or "", incoming.received or "")
        accepted = await self._intake.accept(event, max_pending=self._options.max_pending_events)
        if accepted.overloaded:
            log.warning("overloaded", message_id=event.message_id)
            answer = failure("Too many messages are waiting. Send it again later.")
            return _answer(answer, status=429, headers={"Retry-After": str(OVERLOADED_RETRY_AFTER_SECONDS)})
        log.info("event_accepted", message_id=event.message_id)
        if self._options.inline_timeout_seconds is None:
            return _answer(success("Accepted."))
        progress = await self._intake.wait(event.message_id, timeout_seconds=self._options.inline_timeout_seconds)
        return _inline_answer(progress)


def _inline_answer(progress: Progress) -> Response:
    counts = f"Stored {progress.stored}, skipped {progress.skipped}, failed {progress.failed}."
    if not progress.done:
        return _answer(failure(f"Not finished yet, send it again. {counts}"), status=503)
    return _answer(failure(counts) if progress.failed else success(counts))


def _is_authorized(header: str | None, secrets: Sequence[str]) -> bool:
    if not secrets:
        return True
    scheme, _, given = (header or "").partition(" ")
    token = given.strip().encode("latin-1", "replace")
    # All are compared, so that the time does not tell which of them it was.
    matches = [hmac.compare_digest(token, secret.encode()) for secret in secrets]
    return any(matches) and scheme.lower() == "bearer"


async def _read_at_most(request: Request, max_bytes: int) -> bytes | None:
    """The body, or None as soon as it is known to be larger; the rest is not read."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced[:20]) > max_bytes:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            return None
    return bytes(body)


def _answer(answer: ReceiverAnswer, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(answer), status, headers, media_type="application/json")


def build_receiver(intake: Intake, options: ReceiverOptions) -> Starlette:
    """The ASGI application: the webhook, `/healthz` (the process answers) and `/readyz` (it can take events)."""

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(request: Request) -> Response:
        is_ready = not is_stopping(request.scope) and await intake.answers()
        return PlainTextResponse("ready") if is_ready else PlainTextResponse("not ready", 503)

    receiver = Receiver(intake, options)
    return Starlette(
        routes=[
            Route(options.path, receiver.webhook, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
        ]
    )
