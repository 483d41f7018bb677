"""The failures that operations share, as the OpenAPI document says them. Examples come from the encoder of failures."""

from starlette.exceptions import HTTPException

from satchel.contract.errors import (
    ApiError,
    BadRequest,
    Forbidden,
    RateLimited,
    Reason,
    Unauthorized,
    UpstreamTrouble,
)
from satchel.contract.headers import RateLimitState
from satchel.gateway.api.described_report_failures import failures_of_reports
from satchel.gateway.api.description import DescribedFailure
from satchel.gateway.api.failures import from_http, internal_error
from satchel.gateway.limits.rates import rate_limited
from satchel.gateway.service import api_error
from satchel.mail.source import BrokenMessage, MessageNotFound, NotDownloadable, NotReady, SourceUnavailable

_RATE = ("RateLimit-Policy", "RateLimit")
_RATE_AND_WAIT = (*_RATE, "Retry-After")


def described_failures() -> dict[str, DescribedFailure]:
    """All failures, by the names that descriptions call them."""
    return _of_requests() | _of_callers() | _of_downloads() | _of_mail_servers() | failures_of_reports()


def _of_requests() -> dict[str, DescribedFailure]:
    return {
        "BadRequest": DescribedFailure(
            "400", "The request is no valid HTTP.", (BadRequest("This is not a valid HTTP request."),)
        ),
        "RequestTimeout": DescribedFailure(
            "408",
            "The request's head did not arrive in time.",
            (BadRequest("The request did not arrive in time.", status=408),),
        ),
        "HeadersTooLarge": DescribedFailure(
            "431",
            "The request's head has more than 64 KiB.",
            (BadRequest("The request's headers are too large.", status=431),),
        ),
        "InternalError": DescribedFailure("500", "A defect of the gateway.", (internal_error(),)),
    }


def _of_callers() -> dict[str, DescribedFailure]:
    missing_scope = Forbidden("Token does not have the required scope for this endpoint.")
    return {
        "Unauthorized": DescribedFailure(
            "401",
            "The key is missing, malformed, unknown, expired or revoked; or the mail server refuses the gateway.",
            (
                Unauthorized("An API key is needed.", reason=Reason.KEY_MISSING),
                Unauthorized("The API key is malformed, unknown or revoked."),
                Unauthorized("The API key has expired. Ask for a new one.", reason=Reason.KEY_EXPIRED),
                api_error(SourceUnavailable("", upstream_status=401)),
            ),
            (*_RATE, "WWW-Authenticate"),
        ),
        "Forbidden": DescribedFailure(
            "403", "The key lacks the scope; or the mail server refuses.", (missing_scope, _refused()), _RATE
        ),
        "ForbiddenDownload": DescribedFailure(
            "403",
            "The key lacks the scope, or the attachment is no file; or the mail server refuses.",
            (missing_scope, api_error(NotDownloadable()), _refused()),
            _RATE,
        ),
        "NotFound": DescribedFailure(
            "404",
            "Unknown, or not the key's to see: nothing tells the two apart.",
            (api_error(MessageNotFound()),),
            _RATE,
        ),
        "TooManyRequests": DescribedFailure(
            "429",
            "The account is over its rate, the client's address made too many calls without a valid key, or the mail "
            "server limits the gateway.",
            (
                rate_limited(RateLimitState(100, 60, 0, 18)),
                RateLimited(
                    "Too many calls without a valid key from this address.", reason=Reason.TOO_MANY_FAILED_KEYS
                ),
                api_error(SourceUnavailable("", upstream_status=429)),
            ),
            _RATE_AND_WAIT,
        ),
    }


def _of_downloads() -> dict[str, DescribedFailure]:
    other_version = "The file is not the version that If-Match names."
    too_many = UpstreamTrouble(
        "Too many downloads are running. Try again when some have ended.", status=503, reason=Reason.TOO_MANY_DOWNLOADS
    )
    return {
        "PreconditionFailed": DescribedFailure(
            "412",
            "The file is not the version that `If-Match` names.",
            (BadRequest(other_version, status=412, reason=Reason.PRECONDITION_FAILED),),
            _RATE,
        ),
        "RangeNotSatisfiable": DescribedFailure(
            "416",
            "The range lies behind the end. `Content-Range` tells the size.",
            (from_http(HTTPException(416)),),
            (*_RATE, "Content-Range"),
        ),
        "DownloadUnavailable": DescribedFailure(
            "503",
            "The mail server is away or still scans the message, too many downloads are running, or the gateway is "
            "stopping. Try again later.",
            (_unavailable(503), _not_ready(), too_many, _stopping()),
            _RATE_AND_WAIT,
        ),
        "VersionNotSupported": DescribedFailure(
            "505",
            "The length is not known beforehand, which HTTP/1.0 cannot carry.",
            (BadRequest("The size of this file is not known beforehand: ask for it by HTTP/1.1.", status=505),),
            _RATE,
        ),
    }


def _of_mail_servers() -> dict[str, DescribedFailure]:
    return {
        "BadGateway": DescribedFailure(
            "502",
            "The mail server's answer, or the message, cannot be used.",
            (_unavailable(502), api_error(BrokenMessage(""))),
            _RATE_AND_WAIT,
        ),
        "ServerFailure": DescribedFailure(
            "500",
            "A defect of the gateway; or the mail server's own, forwarded.",
            (internal_error(), _unavailable(500)),
            _RATE_AND_WAIT,
        ),
        "Unavailable": DescribedFailure(
            "503",
            "The mail server is away or still scans the message, or the gateway is stopping. Try again later.",
            (_unavailable(503), _not_ready(), _stopping()),
            _RATE_AND_WAIT,
        ),
        "GatewayTimeout": DescribedFailure(
            "504", "The mail server does not answer. Try again later.", (_unavailable(504),), _RATE_AND_WAIT
        ),
        "UpstreamFailure": DescribedFailure(
            "5XX", "Another status of the mail server, forwarded.", (_unavailable(507),), _RATE_AND_WAIT
        ),
    }


def _unavailable(status: int) -> ApiError:
    return api_error(SourceUnavailable("", upstream_status=status))


def _not_ready() -> ApiError:
    return api_error(NotReady(""))


def _refused() -> ApiError:
    return _unavailable(403)


def _stopping() -> ApiError:
    return UpstreamTrouble("The gateway is stopping. Try again later.", status=503, reason=Reason.STOPPING)
