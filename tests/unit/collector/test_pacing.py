"""The pause that a server asks for."""

import pytest

from satchel.collector.pacing import LONGEST_PAUSE_SECONDS, Pacing
from satchel.contract.headers import RateLimitState


class Clock:
    """Tells what it is set to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(("told", "pause"), [(None, 60), (7, 7), (0, 1), (1e9, LONGEST_PAUSE_SECONDS)])
def test_a_refusal_pauses_as_told_or_a_minute(told: float | None, pause: float) -> None:
    clock = Clock()
    pacing = Pacing(clock)
    assert pacing.wait_seconds == 0
    pacing.refused(told)
    assert pacing.wait_seconds == pause
    clock.seconds += pause
    assert pacing.wait_seconds == 0


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    pacing = Pacing(Clock())
    pacing.refused(50)
    pacing.refused(5)
    assert pacing.wait_seconds == 50


def test_a_used_up_budget_is_waited_for_once() -> None:
    clock = Clock()
    pacing = Pacing(clock)
    pacing.observe(None)
    pacing.observe(RateLimitState(100, 60, 1, 30.0))
    assert pacing.wait_seconds == 0
    empty = RateLimitState(100, 60, 0, 30.0)
    pacing.observe(empty)
    assert pacing.wait_seconds == 30
    clock.seconds += 31
    pacing.observe(empty)
    assert pacing.wait_seconds == 0
