"""The one shape of every failure, its reasons, and the exceptions that stand for it on both ends (contract section 4).

ApiError
├── BadRequest          400, 405, 406, 412, 413, 415, 416: the request itself is wrong
├── Unauthorized        401: the key is missing, malformed, unknown, expired or revoked
├── Forbidden           403: a scope is missing, or the attachment is an item or a reference
├── NotFound            404: unknown, or not allowed: the two look the same
├── RateLimited         429: transient
└── UpstreamTrouble     5xx: transient
"""

from enum import StrEnum
from typing import Any

import msgspec


class Reason(StrEnum):
    """Stable identifiers for programs; `error.message` is for people and may change."""

    INVALID_REQUEST = "invalid_request"
    KEY_MISSING = "key_missing"
    KEY_INVALID = "key_invalid"
    KEY_EXPIRED = "key_expired"
    MISSING_SCOPE = "missing_scope"
    ATTACHMENT_TYPE_NOT_DOWNLOADABLE = "attachment_type_not_downloadable"
    NOT_FOUND = "not_found"
    NOT_READY = "not_ready"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    PRECONDITION_FAILED = "precondition_failed"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_FAILED_KEYS = "too_many_failed_keys"
    TOO_MANY_DOWNLOADS = "too_many_downloads"
    TOO_MANY_REPORTS = "too_many_reports"
    STOPPING = "stopping"
    UPSTREAM_THROTTLED = "upstream_throttled"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    MESSAGE_UNREADABLE = "message_unreadable"
    INTERNAL = "internal"


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call; `body` is there for POST only."""

    href: str
    method: str
    body: Any = None


class Links(msgspec.Struct, frozen=True):
    origin: Link


class ErrorDetail(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`code` is the HTTP status as a string; `reason` and `requestId` are Satchel's additions."""

    code: str
    message: str
    reason: str | None = None
    request_id: str | None = None


class ErrorEnvelope(msgspec.Struct, frozen=True):
    """The JSON body of every failure."""

    links: Links = msgspec.field(name="_links")
    status: str
    error: ErrorDetail


class _Explanation(msgspec.Struct, frozen=True, rename="camel"):
    message: str
    reason: str | None = None
    request_id: str | None = None


class _Explained(msgspec.Struct, frozen=True):
    """What is needed of an envelope; a server that leaves out the rest is still understood."""

    error: _Explanation


class ApiError(Exception):
    """A call that failed, as the gateway raises it and as the client meets it.

    `transient` says whether the same call may succeed later; `retry_after_seconds` when, where the server said so.
    """

    status = 500
    reason: str = Reason.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        reason: str | None = None,
        retry_after_seconds: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status if status is not None else type(self).status
        self.reason = reason if reason is not None else type(self).reason
        self.retry_after_seconds = retry_after_seconds
        self.request_id = request_id

    @property
    def transient(self) -> bool:
        return self.status in {408, 429} or self.status >= 500


class BadRequest(ApiError):
    status = 400
    reason = Reason.INVALID_REQUEST


class Unauthorized(ApiError):
    status = 401
    reason = Reason.KEY_INVALID


class Forbidden(ApiError):
    status = 403
    reason = Reason.MISSING_SCOPE


class NotFound(ApiError):
    status = 404
    reason = Reason.NOT_FOUND


class RateLimited(ApiError):
    status = 429
    reason = Reason.RATE_LIMITED


class UpstreamTrouble(ApiError):
    status = 502
    reason = Reason.UPSTREAM_UNAVAILABLE


_BY_STATUS: dict[int, type[ApiError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound, 429: RateLimited}


def error_class(status: int) -> type[ApiError]:
    """The exception that stands for an HTTP status of 400 or more."""
    if status >= 500:
        return UpstreamTrouble
    return _BY_STATUS.get(status, BadRequest)


def encode_error(error: ApiError, origin: Link, request_id: str | None = None) -> bytes:
    """The envelope's JSON for a failed request."""
    detail = ErrorDetail(str(error.status), error.message, error.reason, request_id)
    return msgspec.json.encode(ErrorEnvelope(links=Links(origin), status="error", error=detail))


def decode_error(status: int, body: bytes, *, retry_after_seconds: float | None = None) -> ApiError:
    """The exception for a failed answer, whatever its body: a proxy's HTML page gives the status alone."""
    kind = error_class(status)
    try:
        detail = msgspec.json.decode(body, type=_Explained).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = f"The server answered HTTP {status} without an explanation that could be read."
        return kind(message, status=status, retry_after_seconds=retry_after_seconds)
    return kind(
        detail.message,
        status=status,
        reason=detail.reason,
        retry_after_seconds=retry_after_seconds,
        request_id=detail.request_id,
    )
