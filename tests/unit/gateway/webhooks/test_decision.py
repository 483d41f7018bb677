"""What follows from an attempt, to the letter of contract section 8."""

from datetime import UTC, datetime, timedelta

import pytest

from satchel.gateway.settings import WebhookSettings
from satchel.gateway.webhooks.decision import (
    PAUSE_AT_ATTEMPTS,
    Decision,
    DeliveryStatus,
    Outcome,
    decide,
    is_given_up,
    longest_wait_seconds,
    text_wait_seconds,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SUCCESS = b'{"status": "success", "message": "Saved 2 PDF(s)."}'
STANDARD, LONG = WebhookSettings().retry_seconds, WebhookSettings().long_retry_seconds
DELIVERED, REJECTED, FAILED, PENDING = (
    DeliveryStatus.DELIVERED,
    DeliveryStatus.REJECTED,
    DeliveryStatus.FAILED,
    DeliveryStatus.PENDING,
)
# What an attempt met; what becomes of the delivery after the first, the second and the third (a number: tried again
# after so many seconds); and why it was no success.
TABLE: dict[str, tuple[Outcome, tuple[float | DeliveryStatus, ...], str | None]] = {
    "200 success": (Outcome(200, SUCCESS), (DELIVERED,) * 3, None),
    "200 error": (Outcome(200, b'{"status": "error", "message": "No."}'), (REJECTED,) * 3, "receiver_error"),
    "200 another word": (Outcome(200, b'{"status": "maybe"}'), (REJECTED,) * 3, "receiver_error"),
    "200 garbage": (Outcome(200, b"<html>"), (REJECTED,) * 3, "not_an_answer"),
    "200 empty": (Outcome(200, b""), (REJECTED,) * 3, "not_an_answer"),
    "200 10 MB": (Outcome(200, b" " * 65536, is_cut=True), (REJECTED,) * 3, "answer_too_long"),
    "200 success, then more than is read": (Outcome(200, SUCCESS, is_cut=True), (REJECTED,) * 3, "answer_too_long"),
    "201": (Outcome(201, SUCCESS), (REJECTED,) * 3, "http_201"),
    "202": (Outcome(202, SUCCESS), (REJECTED,) * 3, "http_202"),
    "204": (Outcome(204), (REJECTED,) * 3, "http_204"),
    "301": (Outcome(301), (REJECTED,) * 3, "http_301"),
    "302": (Outcome(302), (REJECTED,) * 3, "http_302"),
    "307": (Outcome(307), (REJECTED,) * 3, "http_307"),
    "308": (Outcome(308), (REJECTED,) * 3, "http_308"),
    "400": (Outcome(400, SUCCESS), (REJECTED,) * 3, "http_400"),
    "401": (Outcome(401), (REJECTED,) * 3, "http_401"),
    "403": (Outcome(403), (REJECTED,) * 3, "http_403"),
    "404": (Outcome(404), (REJECTED,) * 3, "http_404"),
    "404 with Retry-After": (Outcome(404, b"", "1"), (REJECTED,) * 3, "http_404"),
    "410": (Outcome(410), (REJECTED,) * 3, "http_410"),
    "413": (Outcome(413), (REJECTED,) * 3, "http_413"),
    "499": (Outcome(499), (REJECTED,) * 3, "http_499"),
    "429 Retry-After 0": (Outcome(429, b"", "0"), (0.0, 0.0, REJECTED), "http_429"),
    "429 Retry-After 1": (Outcome(429, b"", "1"), (1.0, 1.0, REJECTED), "http_429"),
    "429 Retry-After 10": (Outcome(429, b"", "10"), (10.0, 10.0, REJECTED), "http_429"),
    "429 Retry-After 3600": (Outcome(429, b"", "3600"), (10.0, 10.0, REJECTED), "http_429"),
    "429 Retry-After at a date": (
        Outcome(429, b"", "Thu, 01 Jan 2026 00:00:04 GMT"),
        (4.0, 4.0, REJECTED),
        "http_429",
    ),
    "429 without Retry-After": (Outcome(429), (REJECTED,) * 3, "http_429"),
    "429 Retry-After empty": (Outcome(429, b"", ""), (REJECTED,) * 3, "http_429"),
    "429 Retry-After soon": (Outcome(429, b"", "soon"), (REJECTED,) * 3, "http_429"),
    "429 Retry-After -1": (Outcome(429, b"", "-1"), (REJECTED,) * 3, "http_429"),
    "500": (Outcome(500, SUCCESS), (5.0, 30.0, FAILED), "http_500"),
    "502": (Outcome(502), (5.0, 30.0, FAILED), "http_502"),
    "503 with Retry-After": (Outcome(503, b"", "1"), (5.0, 30.0, FAILED), "http_503"),
    "599": (Outcome(599), (5.0, 30.0, FAILED), "http_599"),
    "timeout": (Outcome(error="timeout"), (5.0, 30.0, FAILED), "timeout"),
    "reset": (Outcome(error="connection_reset"), (5.0, 30.0, FAILED), "connection_reset"),
    "no connection": (Outcome(error="cannot_connect"), (5.0, 30.0, FAILED), "cannot_connect"),
    "TLS": (Outcome(error="tls"), (5.0, 30.0, FAILED), "tls"),
    "refused address": (Outcome(error="refused_address", refused=True), (FAILED,) * 3, "refused_address"),
    "refused endpoint": (Outcome(error="refused_endpoint", refused=True), (FAILED,) * 3, "refused_endpoint"),
}


def judged(outcome: Outcome, attempt: int = 1, jitter: float = 0.0, pauses: list[float] = STANDARD) -> Decision:
    return decide(outcome, attempt, pauses=pauses, jitter=jitter, now=NOW)


@pytest.mark.parametrize("case", TABLE)
def test_the_contract(case: str) -> None:
    outcome, expected, error = TABLE[case]
    for attempt, what in enumerate(expected, 1):
        is_final = isinstance(what, DeliveryStatus)
        assert judged(outcome, attempt) == (Decision(what, error) if is_final else Decision(PENDING, error, what))


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (SUCCESS, DELIVERED),
        (b'{"status": "success"}', DELIVERED),
        (b'{"status": "success", "message": "", "actions": [{"a": 1}], "more": 1}', DELIVERED),
        (b'{"status": "Success"}', REJECTED),
        (b'{"message": "success"}', REJECTED),
        (b"success", REJECTED),
        (b"[]", REJECTED),
        (b'"success"', REJECTED),
        (b"\xff\xfe", REJECTED),
        (SUCCESS[:20], REJECTED),
        (b'{"status": "success", "more": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", REJECTED),
    ],
)
def test_answers(answer: bytes, status: DeliveryStatus) -> None:
    decision = judged(Outcome(200, answer))
    assert decision.status is status
    assert (decision.error is None) == (status is DELIVERED)


def test_the_long_schedule_has_eight_attempts_over_about_a_day() -> None:
    waits = [judged(Outcome(500), attempt, pauses=LONG).wait_seconds for attempt in range(1, 8)]
    assert (waits, len(waits)) == (LONG, 7)
    assert judged(Outcome(500), 8, pauses=LONG) == Decision(FAILED, "http_500")
    assert timedelta(hours=23) < timedelta(seconds=sum(waits)) < timedelta(hours=26)


def test_the_long_schedule_lasts_its_day_though_the_receiver_says_ten_seconds() -> None:
    throttled = [judged(Outcome(429, b"", "60"), attempt, pauses=LONG) for attempt in range(1, 9)]
    assert [each.wait_seconds for each in throttled[:7]] == [10.0, 10.0, *LONG[2:]]
    assert throttled[7] == Decision(REJECTED, "http_429")


@pytest.mark.parametrize("pauses", [STANDARD, LONG])
def test_jitter_adds_up_to_a_fifth(pauses: list[float]) -> None:
    for attempt, pause in enumerate(pauses, 1):
        longest = judged(Outcome(500), attempt, jitter=1.0, pauses=pauses).wait_seconds
        assert longest == pytest.approx(pause * 1.2)
        assert longest <= longest_wait_seconds(attempt, pauses)


def test_fewer_pauses_are_fewer_attempts() -> None:
    assert judged(Outcome(500), pauses=[]).status is FAILED
    assert judged(Outcome(429, b"", "1"), pauses=[]).status is REJECTED


def test_two_kilobytes_of_an_answer_are_kept() -> None:
    assert Outcome(200, b"x" * 5000).answer_text == "x" * 2048
    assert Outcome(200, b"\xff\x00").answer_text == "\ufffd\ufffd"
    assert Outcome(error="timeout").answer_text is None


@pytest.mark.parametrize(
    ("failing_seconds", "attempts", "pause_after_seconds", "expected"),
    [
        (86_400, PAUSE_AT_ATTEMPTS, 86_400, True),
        (86_399, PAUSE_AT_ATTEMPTS, 86_400, False),
        (86_400, PAUSE_AT_ATTEMPTS - 1, 86_400, False),
        (-3600, PAUSE_AT_ATTEMPTS, 86_400, False),
        (10**7, 10**6, 0, False),
    ],
)
def test_a_webhook_is_given_up_after_time_and_attempts(
    failing_seconds: float, attempts: int, pause_after_seconds: float, expected: bool
) -> None:
    since = NOW - timedelta(seconds=failing_seconds)
    assert is_given_up(since, attempts, NOW, pause_after_seconds=pause_after_seconds) is expected


@pytest.mark.parametrize(
    ("missing_seconds", "retry_after_seconds", "expected"),
    [
        (0.0, None, 5.0),
        (5.0, None, 5.0),
        (40.0, None, 40.0),
        (0.0, 20.0, 20.0),
        (0.0, 7200.0, 300.0),
        (2000.0, None, 300.0),
        (3590.0, None, 10.0),
        (3600.0, None, None),
        (90_000.0, 1.0, None),
        (-600.0, None, 5.0),
    ],
)
def test_a_text_is_waited_for_an_hour(
    missing_seconds: float, retry_after_seconds: float | None, expected: float | None
) -> None:
    assert text_wait_seconds(missing_seconds, retry_after_seconds) == expected
