"""The decision to try again: bounded, with jitter, and by the server's own words."""

import pytest

from satchel.client import ConnectionFailed, IncompleteBody, UnexpectedAnswer
from satchel.client.retry import NO_RETRIES, Failure, GiveUp, RetryIn, RetryPolicy
from satchel.contract.errors import NotFound, RateLimited, Unauthorized, UpstreamTrouble

POLICY = RetryPolicy(max_attempts=5, base_seconds=1, cap_seconds=6, patience_seconds=100)
BROKEN = ConnectionFailed("x")


@pytest.mark.parametrize(("attempt", "most_seconds"), [(1, 1), (2, 2), (3, 4), (4, 6)])
def test_waits_double_up_to_the_cap_and_jitter_takes_from_them(attempt: int, most_seconds: float) -> None:
    assert POLICY.decide(BROKEN, attempt, 1.0) == RetryIn(most_seconds)
    assert POLICY.decide(BROKEN, attempt, 0.25) == RetryIn(most_seconds / 4)
    assert POLICY.decide(BROKEN, attempt, 0.0) == RetryIn(0)


def test_the_last_attempt_is_the_last() -> None:
    assert POLICY.decide(BROKEN, 5, 0.5) == GiveUp()
    assert NO_RETRIES.decide(BROKEN, 1, 0.5) == GiveUp()


def test_many_attempts_do_not_overflow() -> None:
    assert RetryPolicy(max_attempts=10**6).decide(BROKEN, 5000, 1.0) == RetryIn(20.0)


@pytest.mark.parametrize("failure", [NotFound("x"), Unauthorized("x"), UnexpectedAnswer("x")])
def test_permanent_failures_are_final(failure: Failure) -> None:
    assert POLICY.decide(failure, 1, 0.5) == GiveUp()


@pytest.mark.parametrize(
    ("failure", "least_seconds"),
    [
        (RateLimited("x"), 60),
        (RateLimited("x", retry_after_seconds=7), 7),
        (RateLimited("x", retry_after_seconds=0), 0),
        (UpstreamTrouble("x"), 0),
        (UpstreamTrouble("x", status=503, retry_after_seconds=30), 30),
        (IncompleteBody("x", received_bytes=1, expected_bytes=2), 0),
    ],
)
def test_retry_after_is_the_least_and_a_bare_429_waits_a_minute(failure: Failure, least_seconds: float) -> None:
    assert POLICY.decide(failure, 1, 0.0) == RetryIn(least_seconds)
    assert POLICY.decide(failure, 1, 0.5) == RetryIn(least_seconds + 0.5)


def test_a_wait_beyond_patience_is_left_to_the_caller() -> None:
    assert POLICY.decide(RateLimited("x", retry_after_seconds=101), 1, 0.0) == GiveUp()
    hasty = RetryPolicy(patience_seconds=59)
    assert hasty.decide(RateLimited("x"), 1, 0.0) == GiveUp()


@pytest.mark.parametrize(
    ("failure", "attempt", "decision"),
    [
        # A lost answer may have begun a report: one more, and no third.
        (BROKEN, 1, RetryIn(1)),
        (BROKEN, 2, GiveUp()),
        (UpstreamTrouble("x"), 1, RetryIn(1)),
        (UpstreamTrouble("x"), 2, GiveUp()),
        # A refusal began nothing: as told, or a minute more each time.
        (RateLimited("x", retry_after_seconds=7), 3, RetryIn(11)),
        (RateLimited("x", retry_after_seconds=101), 1, GiveUp()),
        (RateLimited("x"), 1, RetryIn(61)),
        (RateLimited("x"), 2, GiveUp()),
        (RateLimited("x"), 5, GiveUp()),
        (NotFound("x"), 1, GiveUp()),
    ],
)
def test_a_report_is_not_begun_over_and_over(failure: Failure, attempt: int, decision: RetryIn | GiveUp) -> None:
    assert POLICY.decide_begin(failure, attempt, 1.0) == decision


def test_pauses_before_a_report_grow_by_a_minute() -> None:
    patient = RetryPolicy(max_attempts=9, base_seconds=0, patience_seconds=200)
    waits = [patient.decide_begin(RateLimited("x"), attempt, 1.0) for attempt in range(1, 5)]
    assert waits == [RetryIn(60), RetryIn(120), RetryIn(180), GiveUp()]
    assert NO_RETRIES.decide_begin(RateLimited("x"), 1, 0.0) == GiveUp()
    assert NO_RETRIES.decide_begin(BROKEN, 1, 0.0) == GiveUp()
