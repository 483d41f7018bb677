"""The envelope of failures and the exceptions that stand for it (contract section 4)."""

import pytest

from satchel.contract.errors import (
    ApiError,
    BadRequest,
    Forbidden,
    Link,
    NotFound,
    RateLimited,
    Reason,
    Unauthorized,
    UpstreamTrouble,
    decode_error,
    encode_error,
    error_class,
)

ORIGIN = Link("https://host/api/v1/messages/AAMk/attachments", "GET")


@pytest.mark.parametrize(
    ("status", "kind", "transient"),
    [
        (400, BadRequest, False),
        (401, Unauthorized, False),
        (403, Forbidden, False),
        (404, NotFound, False),
        (408, BadRequest, True),
        (416, BadRequest, False),
        (429, RateLimited, True),
        (500, UpstreamTrouble, True),
        (504, UpstreamTrouble, True),
    ],
)
def test_a_status_says_which_exception_and_whether_to_try_again(
    status: int, kind: type[ApiError], transient: bool
) -> None:
    error = error_class(status)("text", status=status)
    assert type(error) is kind
    assert error.transient is transient


def test_an_error_goes_over_the_wire_and_back() -> None:
    sent = Forbidden("No.", reason=Reason.ATTACHMENT_TYPE_NOT_DOWNLOADABLE)
    met = decode_error(403, encode_error(sent, ORIGIN, "req-1"), retry_after_seconds=3)
    assert type(met) is Forbidden
    assert (met.message, met.reason, met.request_id) == ("No.", "attachment_type_not_downloadable", "req-1")
    assert (met.status, met.retry_after_seconds) == (403, 3)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"code": "404", "message": "Message or attachment not found."}}',
        b'{"status": "error", "error": {"code": 404, "message": "Message or attachment not found.", "more": []}}',
    ],
)
def test_an_envelope_with_less_or_more_is_understood(body: bytes) -> None:
    assert decode_error(404, body).message == "Message or attachment not found."


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad gateway</html>", b"null", b'{"error": "oops"}', b"\xff\xfe", b'{"x":' + b"[" * 60_000]
)
def test_any_other_body_leaves_the_status(body: bytes) -> None:
    error = decode_error(502, body, retry_after_seconds=7)
    assert type(error) is UpstreamTrouble
    assert error.status == 502
    assert error.retry_after_seconds == 7
    assert "502" in error.message
