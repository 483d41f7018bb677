from datetime import UTC, datetime

import pytest

from satchel.gateway.webhooks.decision import Decision, DeliveryStatus, Outcome, decide

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SUCCESS = b'{"status": "success", "message": "Saved 2 PDF(s)."}'
DELIVERED, REJECTED, FAILED, PENDING = (
    DeliveryStatus.DELIVERED,
    DeliveryStatus.REJECTED,
    DeliveryStatus.FAILED,
    DeliveryStatus.PENDING,
)


def judged(outcome: Outcome, attempt: int = 1, jitter: float = 0.0) -> Decision:
    return decide(outcome, attempt, pauses=[5.0, 30.0], jitter=jitter, now=NOW)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (SUCCESS, DELIVERED),
        (b'{"status": "success"}', DELIVERED),
        (b'{"status": "success", "message": "", "actions": [{"a": 1}], "more": 1}', DELIVERED),
        (b'{"status": "error", "message": "No."}', REJECTED),
        (b'{"status": "maybe"}', REJECTED),
        (b'{"status": "Success"}', REJECTED),
        (b'{"message": "success"}', REJECTED),
        (b"success", REJECTED),
        (b"", REJECTED),
        (b"<html>", REJECTED),
        (b"[]", REJECTED),
        (b'"success"', REJECTED),
        (b"\xff\xfe", REJECTED),
        (SUCCESS[:20], REJECTED),
        (b'{"status": "success", "more": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", REJECTED),
    ],
)
@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_an_answer_of_200_is_always_final(answer: bytes, status: DeliveryStatus, attempt: int) -> None:
    decision = judged(Outcome(200, answer), attempt)
    assert decision.status is status
    assert (decision.error is None) == (status is DELIVERED)


@pytest.mark.parametrize("code", [201, 202, 204, 301, 302, 307, 308, 400, 401, 403, 404, 410, 413, 429, 499])
def test_other_statuses_below_500_are_final_after_one_attempt(code: int) -> None:
    assert judged(Outcome(code, SUCCESS)) == Decision(REJECTED, f"http_{code}")


@pytest.mark.parametrize("outcome", [Outcome(500), Outcome(503), Outcome(599), Outcome(error="timeout")])
def test_connection_errors_and_5xx_are_tried_three_times(outcome: Outcome) -> None:
    error = outcome.error or f"http_{outcome.status}"
    assert judged(outcome, 1) == Decision(PENDING, error, 5.0)
    assert judged(outcome, 2) == Decision(PENDING, error, 30.0)
    assert judged(outcome, 3) == Decision(FAILED, error)


def test_jitter_adds_up_to_a_fifth() -> None:
    assert judged(Outcome(500), 1, jitter=1.0).wait_seconds == 6.0


@pytest.mark.parametrize(
    ("retry_after", "wait_seconds"),
    [("3", 3.0), ("0", 0.0), ("10", 10.0), ("3600", 10.0), ("Thu, 01 Jan 2026 00:00:04 GMT", 4.0)],
)
def test_429_waits_as_it_is_told_but_not_longer_than_ten_seconds(retry_after: str, wait_seconds: float) -> None:
    outcome = Outcome(429, b"", retry_after)
    assert judged(outcome, 1) == Decision(PENDING, "http_429", wait_seconds)
    assert judged(outcome, 3) == Decision(REJECTED, "http_429")


@pytest.mark.parametrize("retry_after", [None, "", "soon", "-1"])
def test_429_that_does_not_say_when_is_final(retry_after: str | None) -> None:
    assert judged(Outcome(429, b"", retry_after)).status is REJECTED


def test_other_statuses_do_not_wait_by_retry_after() -> None:
    assert judged(Outcome(503, b"", "1")).wait_seconds == 5.0
    assert judged(Outcome(404, b"", "1")).status is REJECTED


def test_a_refused_endpoint_is_final() -> None:
    assert judged(Outcome(error="refused_address", refused=True)) == Decision(FAILED, "refused_address")


def test_fewer_pauses_are_fewer_attempts() -> None:
    assert decide(Outcome(500), 1, pauses=[], jitter=0, now=NOW).status is FAILED
    assert decide(Outcome(429, b"", "1"), 1, pauses=[], jitter=0, now=NOW).status is REJECTED


def test_two_kilobytes_of_an_answer_are_kept() -> None:
    assert Outcome(200, b"x" * 5000).answer_text == "x" * 2048
    assert Outcome(200, b"\xff\x00").answer_text == "\ufffd\ufffd"
    assert Outcome(error="timeout").answer_text is None
