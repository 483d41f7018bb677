"""What becomes of a failed attempt."""

from math import inf

import pytest

from satchel.client import (
    ClientError,
    ConnectionFailed,
    IncompleteBody,
    RetryPolicy,
    ServerNotTrusted,
    UnexpectedAnswer,
)
from satchel.collector.retries import INTERNAL, NOT_FOUND_ATTEMPTS, Decision, decide, reason_of
from satchel.collector.settings import RetrySettings
from satchel.collector.sinks.sink import BodyMismatch, KeyTaken, SinkError, SinkUnavailable
from satchel.contract.errors import ApiError, Forbidden, NotFound, RateLimited, Reason, Unauthorized, UpstreamTrouble

Failure = ApiError | ClientError | SinkError
POLICY = RetryPolicy(max_attempts=3, base_seconds=1, cap_seconds=60, patience_seconds=inf)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (NotFound("x"), "not_found"),
        (ApiError("x", status=451, reason="../Odd reason"), "http_451"),
        (IncompleteBody("x", received_bytes=1, expected_bytes=2), "incomplete_body"),
        (ConnectionFailed("x"), "connection_failed"),
        (UnexpectedAnswer("x"), "unexpected_answer"),
        (SinkUnavailable("x", reason="disk_full"), "disk_full"),
        (BodyMismatch("x"), "size_mismatch"),
    ],
)
def test_reasons(failure: Failure, reason: str) -> None:
    assert reason_of(failure) == reason


@pytest.mark.parametrize(
    "failure",
    [
        Forbidden("x", reason=Reason.ATTACHMENT_TYPE_NOT_DOWNLOADABLE),
        ApiError("x", status=400),
        ApiError("x", status=410),
        KeyTaken("x"),
    ],
)
def test_what_is_permanent_is_not_tried_again(failure: Failure) -> None:
    assert decide(failure, 0, POLICY, 0.5).delay_seconds is None


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamTrouble("x"),
        ConnectionFailed("x"),
        SinkUnavailable("x"),
        # Final for who waits at a terminal; here the operator or the proxy mends it, and the message is not lost.
        UnexpectedAnswer("x", status=200),
        Unauthorized("x", reason=Reason.KEY_EXPIRED),
        Forbidden("x"),
        ServerNotTrusted("x"),
        NotFound("x"),
        ApiError("x", status=416),
    ],
)
def test_what_is_transient_is_tried_again_with_longer_waits_and_a_bound(failure: Failure) -> None:
    assert [decide(failure, tries, POLICY, 1.0).delay_seconds for tries in range(4)] == [1, 2, None, None]


def test_a_429_waits_as_told_or_a_minute() -> None:
    assert decide(RateLimited("x"), 0, POLICY, 0.0).delay_seconds == 60
    assert decide(RateLimited("x", retry_after_seconds=7), 0, POLICY, 0.0).delay_seconds == 7
    assert decide(RateLimited("x", retry_after_seconds=7200), 0, POLICY, 0.0).delay_seconds == 7200


def test_a_404_right_after_the_arrival_is_asked_again_for_a_while() -> None:
    patient = RetryPolicy(max_attempts=300, base_seconds=1, cap_seconds=600, patience_seconds=inf)
    waits = [decide(NotFound("x"), tries, patient, 1.0).delay_seconds for tries in range(NOT_FOUND_ATTEMPTS)]
    assert waits == [1, 2, 4, 8, 16, None]


def test_by_default_an_outage_of_half_a_day_fails_nothing() -> None:
    settings = RetrySettings()
    policy = RetryPolicy(settings.max_attempts, settings.base_seconds, settings.cap_seconds, patience_seconds=inf)
    waits = [decide(ConnectionFailed("x"), tries, policy, 0.5).delay_seconds for tries in range(settings.max_attempts)]
    assert sum(wait or 0 for wait in waits) > 12 * 3600


def test_a_429_never_fails_a_row_and_does_not_count() -> None:
    decision = decide(RateLimited("x", retry_after_seconds=7), 1000, POLICY, 0.0)
    assert decision == Decision("rate_limited", 7, counted=False)
    assert decide(UpstreamTrouble("x"), 0, POLICY, 0.0).counted


def test_a_defect_is_tried_again_and_ends_as_failed() -> None:
    decisions = [decide(ZeroDivisionError(), tries, POLICY, 1.0) for tries in range(3)]
    assert decisions == [Decision(INTERNAL, 1), Decision(INTERNAL, 2), Decision(INTERNAL, None)]
