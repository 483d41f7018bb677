"""What becomes of a failed attempt."""

from math import inf

import pytest

from satchel.client import ConnectionFailed, IncompleteBody, RetryPolicy, UnexpectedAnswer
from satchel.collector.retries import AttemptError, decide, reason_of
from satchel.collector.sinks.sink import BodyMismatch, KeyTaken, SinkUnavailable
from satchel.contract.errors import ApiError, NotFound, RateLimited, UpstreamTrouble

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
def test_reasons(failure: AttemptError, reason: str) -> None:
    assert reason_of(failure) == reason


@pytest.mark.parametrize("failure", [NotFound("x"), UnexpectedAnswer("x"), KeyTaken("x")])
def test_what_is_permanent_is_not_tried_again(failure: AttemptError) -> None:
    assert decide(failure, 0, POLICY, 0.5).delay_seconds is None


@pytest.mark.parametrize("failure", [UpstreamTrouble("x"), ConnectionFailed("x"), SinkUnavailable("x")])
def test_what_is_transient_is_tried_again_with_longer_waits_and_a_bound(failure: AttemptError) -> None:
    assert [decide(failure, tries, POLICY, 1.0).delay_seconds for tries in range(4)] == [1, 2, None, None]


def test_a_429_waits_as_told_or_a_minute() -> None:
    assert decide(RateLimited("x"), 0, POLICY, 0.0).delay_seconds == 60
    assert decide(RateLimited("x", retry_after_seconds=7), 0, POLICY, 0.0).delay_seconds == 7
    assert decide(RateLimited("x", retry_after_seconds=7200), 0, POLICY, 0.0).delay_seconds == 7200
