import pytest

from satchel.mail.graph.retry import Decision, Failure, GiveUp, RenewToken, RetryPolicy, TryAgain

POLICY = RetryPolicy(max_attempts=4, max_throttled=10, base_seconds=0.5, cap_seconds=8.0)
THROTTLED = Failure(429, "ApplicationThrottled", may_have_acted=False)
AFTER_5 = Failure(429, "ApplicationThrottled", 5.0, may_have_acted=False)


@pytest.mark.parametrize(
    ("failure", "attempt", "left_seconds", "repeatable", "expected"),
    [
        # A Retry-After is waited for in full, or not at all.
        (AFTER_5, 1, 20.0, True, TryAgain(5.0)),
        (AFTER_5, 1, 5.0, True, TryAgain(5.0)),
        (AFTER_5, 1, 4.9, True, GiveUp()),
        # Without one the wait doubles, to a bound.
        (THROTTLED, 1, 20.0, True, TryAgain(0.5)),
        (THROTTLED, 3, 20.0, True, TryAgain(2.0)),
        (THROTTLED, 9, 20.0, True, TryAgain(8.0)),
        (THROTTLED, 10, 20.0, True, GiveUp()),
        (Failure(429, "", 0.0, may_have_acted=False), 10, 20.0, True, GiveUp()),
        # What was throttled was not done, so it may always be asked again.
        (THROTTLED, 1, 20.0, False, TryAgain(0.5)),
        (Failure(503), 1, 20.0, True, TryAgain(0.5)),
        (Failure(503, "", 3.0), 1, 20.0, True, TryAgain(3.0)),
        (Failure(503, "", 30.0), 1, 20.0, True, GiveUp()),
        (Failure(503), 1, 20.0, False, GiveUp()),
        (Failure(503), 4, 20.0, True, GiveUp()),
        (Failure(504), 2, 20.0, True, TryAgain(1.0)),
        (Failure(504), 2, 0.9, True, GiveUp()),
        (Failure(None), 1, 20.0, True, TryAgain(0.5)),
        (Failure(None), 1, 20.0, False, GiveUp()),
        (Failure(None, may_have_acted=False), 1, 20.0, False, TryAgain(0.5)),
        (Failure(None), 4, 20.0, True, GiveUp()),
        # No exponent is too large.
        (THROTTLED, 10_000, 20.0, True, GiveUp()),
        (Failure(400), 1, 20.0, True, GiveUp()),
        (Failure(403, "ErrorAccessDenied"), 1, 20.0, True, GiveUp()),
        (Failure(404, "ErrorItemNotFound", 1.0), 1, 20.0, True, GiveUp()),
        (Failure(501), 1, 20.0, True, GiveUp()),
        (Failure(302), 1, 20.0, True, GiveUp()),
    ],
)
def test_decisions(failure: Failure, attempt: int, left_seconds: float, repeatable: bool, expected: Decision) -> None:
    decision = POLICY.decide(
        failure, attempt=attempt, left_seconds=left_seconds, repeatable=repeatable, token_is_new=False, jitter=1.0
    )
    assert decision == expected


@pytest.mark.parametrize(("token_is_new", "expected"), [(False, RenewToken()), (True, GiveUp())])
def test_a_refused_token_is_renewed_once_also_for_what_may_not_be_repeated(
    token_is_new: bool, expected: Decision
) -> None:
    decision = POLICY.decide(
        Failure(401), attempt=9, left_seconds=0.0, repeatable=False, token_is_new=token_is_new, jitter=1.0
    )
    assert decision == expected


def test_the_jitter_is_full() -> None:
    waits = [
        POLICY.decide(Failure(503), attempt=3, left_seconds=20, repeatable=True, token_is_new=False, jitter=jitter)
        for jitter in (0.0, 0.5, 1.0)
    ]
    assert waits == [TryAgain(0.0), TryAgain(1.0), TryAgain(2.0)]
