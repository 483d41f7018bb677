"""The failures of reports and mailboxes, as the OpenAPI document says them: no mail server is asked for these."""

from satchel.contract.errors import (
    BadRequest,
    Forbidden,
    Link,
    NotFound,
    RateLimited,
    Reason,
    Unauthorized,
    UpstreamTrouble,
)
from satchel.contract.headers import RateLimitState
from satchel.contract.routes import REPORT_RECEIVED_MESSAGES, REPORT_RESULTS
from satchel.gateway.api.description import EXAMPLE_HOST, EXAMPLE_REPORT, EXAMPLE_RUN_ID, DescribedFailure
from satchel.gateway.api.failures import internal_error
from satchel.gateway.limits.rates import rate_limited
from satchel.gateway.reports.reporting import too_many_reports

_RATE = ("RateLimit-Policy", "RateLimit")
_RATE_AND_WAIT = (*_RATE, "Retry-After")
_POST = Link(EXAMPLE_HOST + REPORT_RECEIVED_MESSAGES.path, "POST", EXAMPLE_REPORT)
_GET = Link(EXAMPLE_HOST + REPORT_RESULTS.url(run_id=EXAMPLE_RUN_ID), "GET")


def failures_of_reports() -> dict[str, DescribedFailure]:
    """By the names that descriptions call them."""
    return _of_keys() | _of_requests() | _of_the_gateway()


def _of_keys() -> dict[str, DescribedFailure]:
    return {
        "KeyRefused": DescribedFailure(
            "401",
            "The key is missing, malformed, unknown, expired or revoked.",
            (
                Unauthorized("An API key is needed.", reason=Reason.KEY_MISSING),
                Unauthorized("The API key is malformed, unknown or revoked."),
                Unauthorized("The API key has expired. Ask for a new one.", reason=Reason.KEY_EXPIRED),
            ),
            ("WWW-Authenticate",),
            _GET,
        ),
        "ScopeMissing": DescribedFailure(
            "403",
            "The key lacks a scope.",
            (Forbidden("Token does not have the required scope for this endpoint."),),
            _RATE,
            _GET,
        ),
        "RateExceeded": DescribedFailure(
            "429",
            "The account is over its rate, or the client's address made too many calls without a valid key.",
            _too_many_calls(),
            _RATE_AND_WAIT,
            _GET,
        ),
        "TooManyReports": DescribedFailure(
            "429",
            "As many reports of the account are running as may be; or it is over its rate, or the client's address "
            "made too many calls without a valid key.",
            (*_too_many_calls(), too_many_reports()),
            _RATE_AND_WAIT,
            _POST,
        ),
    }


def _too_many_calls() -> tuple[RateLimited, RateLimited]:
    return (
        rate_limited(RateLimitState(100, 60, 0, 18)),
        RateLimited("Too many calls without a valid key from this address.", reason=Reason.TOO_MANY_FAILED_KEYS),
    )


def _of_requests() -> dict[str, DescribedFailure]:
    wrong = BadRequest('max is "501": a whole number from 1 to 500 is expected.')
    return {
        "InvalidParameters": DescribedFailure(
            "400", "A parameter is wrong: the message names it, and says what is accepted.", (wrong,), _RATE, _GET
        ),
        "InvalidReport": DescribedFailure(
            "400",
            "A parameter or the body is wrong: the message names what, and says what is accepted.",
            (BadRequest("parameters.mailboxId is missing: a mailbox's id is expected."),),
            _RATE,
            _POST,
        ),
        "MailboxNotFound": DescribedFailure(
            "404",
            "Unknown, or not the key's to see: nothing tells the two apart.",
            (NotFound("Mailbox not found."),),
            _RATE,
            _POST,
        ),
        "ReportNotFound": DescribedFailure(
            "404",
            "Unknown, begun by another key, or older than 24 hours: nothing tells these apart.",
            (NotFound("Report not found."),),
            _RATE,
            _GET,
        ),
        "BodyTooLarge": DescribedFailure(
            "413",
            "The body has more than 16 KiB.",
            (BadRequest("The body is too large: at most 16 KiB are read.", status=413),),
            _RATE,
            _POST,
        ),
    }


def _of_the_gateway() -> dict[str, DescribedFailure]:
    stopping = UpstreamTrouble("The gateway is stopping. Try again later.", status=503, reason=Reason.STOPPING)
    return {
        "Defect": DescribedFailure("500", "A defect of the gateway.", (internal_error(),), _RATE, _GET),
        "Stopping": DescribedFailure(
            "503", "The gateway is stopping. Try again later.", (stopping,), ("Retry-After",), _GET
        ),
    }
