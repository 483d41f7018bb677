"""Whether and when a failed call is tried again: a pure decision. It neither sleeps nor draws random numbers."""

from dataclasses import dataclass
from typing import Protocol

from satchel.client.errors import ClientError
from satchel.contract.errors import ApiError, RateLimited

# Contract section 5: clients are told to wait at least a minute.
RATE_LIMIT_PAUSE_SECONDS = 60.0
_MOST_BEGINNINGS = 2


class Failure(Protocol):
    """What a failure tells about itself; ApiError and ClientError both do."""

    @property
    def transient(self) -> bool: ...

    @property
    def retry_after_seconds(self) -> float | None: ...


# What a call may raise; catch this to meet every failure of the SDK.
CALL_ERRORS: tuple[type[ApiError], type[ClientError]] = (ApiError, ClientError)


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Try again after `wait_seconds`."""

    wait_seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Raise the failure to the caller."""


RetryDecision = RetryIn | GiveUp


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter, bounded by attempts and by the longest single wait.

    `max_attempts` counts the first one. A wait is drawn from 0 to `base_seconds * 2**(attempt - 1)`, at most
    `cap_seconds`. A server's `Retry-After` is the least that is waited; one beyond `patience_seconds` is not waited
    for: the failure is raised at once, with its `retry_after_seconds`, so that the caller can plan.
    """

    max_attempts: int = 5
    base_seconds: float = 0.5
    cap_seconds: float = 20.0
    patience_seconds: float = 120.0

    def decide(self, failure: Failure, attempt: int, jitter: float) -> RetryDecision:
        """The decision after the `attempt`th try (from 1) failed; `jitter` is a random number from 0 to 1."""
        if not failure.transient or attempt >= self.max_attempts:
            return GiveUp()
        asked = failure.retry_after_seconds
        if asked is None:
            asked = RATE_LIMIT_PAUSE_SECONDS if isinstance(failure, RateLimited) else 0.0
        return self._retry_in(asked, attempt, jitter)

    def decide_begin(self, failure: Failure, attempt: int, jitter: float) -> RetryDecision:
        """The same for a call that begins a report, of which an account may have three under way (section 5).

        One that was refused for that or for the rate began nothing: it waits as told, else a minute more each time.
        One whose answer was lost may have begun a report, so it is made once more and no oftener.
        """
        if isinstance(failure, RateLimited) and failure.retry_after_seconds is None and attempt < self.max_attempts:
            return self._retry_in(RATE_LIMIT_PAUSE_SECONDS * attempt, attempt, jitter)
        if not isinstance(failure, RateLimited) and attempt >= _MOST_BEGINNINGS:
            return GiveUp()
        return self.decide(failure, attempt, jitter)

    def _retry_in(self, asked_seconds: float, attempt: int, jitter: float) -> RetryDecision:
        if asked_seconds > self.patience_seconds:
            return GiveUp()
        # The exponent is bounded because 2**1024 is no float.
        backoff = jitter * min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 60))
        return RetryIn(asked_seconds + backoff)


DEFAULT_RETRIES = RetryPolicy()
NO_RETRIES = RetryPolicy(max_attempts=1)
