"""Until when the API asked not to be called: one pause, kept by everything that calls it."""

from collections.abc import Callable
from math import inf

from satchel.client.retry import RATE_LIMIT_PAUSE_SECONDS
from satchel.contract.headers import RateLimitState

# A server that refuses and says "at once" would otherwise be asked as fast as it can answer.
LEAST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 86_400.0


class Pacing:
    """A 429 and a used-up budget pause every call (contract section 5). `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._paused_until = -inf
        self._seen: RateLimitState | None = None

    @property
    def wait_seconds(self) -> float:
        """How long nothing may be called from now on; 0 without a pause."""
        return max(0.0, self._paused_until - self._now())

    def refused(self, retry_after_seconds: float | None) -> None:
        """A call was answered 429; None where the server did not say until when."""
        self._pause(RATE_LIMIT_PAUSE_SECONDS if retry_after_seconds is None else retry_after_seconds)

    def observe(self, state: RateLimitState | None) -> None:
        """What the last answer said of the budget. The same answer counts once, because its reset counts from then."""
        if state is None or state is self._seen:
            return
        self._seen = state
        if state.remaining <= 0:
            self._pause(state.reset_seconds)

    def _pause(self, seconds: float) -> None:
        until = self._now() + min(max(seconds, LEAST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        self._paused_until = max(self._paused_until, until)
