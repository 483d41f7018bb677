import pytest

from satchel.contract.errors import Reason
from satchel.gateway.service import api_error
from satchel.mail.source import (
    AttachmentNotFound,
    BrokenMessage,
    MessageNotFound,
    NotDownloadable,
    NotReady,
    SourceError,
    SourceUnavailable,
)


def unavailable(status: int | None = None, wait: float | None = None) -> SourceUnavailable:
    return SourceUnavailable("no", upstream_status=status, retry_after_seconds=wait)


@pytest.mark.parametrize(
    ("error", "status", "reason", "wait"),
    [
        (MessageNotFound(), 404, Reason.NOT_FOUND, None),
        (AttachmentNotFound(), 404, Reason.NOT_FOUND, None),
        (NotDownloadable(), 403, Reason.ATTACHMENT_TYPE_NOT_DOWNLOADABLE, None),
        (BrokenMessage(), 502, Reason.MESSAGE_UNREADABLE, None),
        (NotReady("scanning"), 503, Reason.NOT_READY, 60.0),
        (NotReady("scanning", retry_after_seconds=20), 503, Reason.NOT_READY, 20),
        (SourceError(), 502, Reason.UPSTREAM_UNAVAILABLE, None),
        (unavailable(), 503, Reason.UPSTREAM_UNAVAILABLE, 10.0),
        (unavailable(wait=3), 503, Reason.UPSTREAM_UNAVAILABLE, 3),
        (unavailable(429), 429, Reason.UPSTREAM_THROTTLED, 10.0),
        (unavailable(429, 7), 429, Reason.UPSTREAM_THROTTLED, 7),
        (unavailable(401), 401, Reason.UPSTREAM_UNAVAILABLE, None),
        (unavailable(504), 504, Reason.UPSTREAM_UNAVAILABLE, None),
        (unavailable(418), 503, Reason.UPSTREAM_UNAVAILABLE, 10.0),
        (unavailable(200), 503, Reason.UPSTREAM_UNAVAILABLE, 10.0),
    ],
)
def test_what_a_sources_error_becomes(error: SourceError, status: int, reason: str, wait: float | None) -> None:
    answer = api_error(error)
    assert (answer.status, answer.reason, answer.retry_after_seconds) == (status, reason, wait)


def test_unknown_message_and_unknown_attachment_read_the_same() -> None:
    assert api_error(MessageNotFound("a")).message == api_error(AttachmentNotFound("b")).message
