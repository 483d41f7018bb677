"""Whether and when a call to Graph is made again: a pure decision. It neither sleeps nor draws random numbers."""

from dataclasses import dataclass

THROTTLED = 429
UNAUTHORIZED = 401
# 408, 500 and 509 are on Graph's own list of errors to try again; 502 comes from gateways in between.
TRANSIENT = frozenset({408, 500, 502, 503, 504, 509})


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that went wrong: with a status, or (None) without an answer.

    `may_have_acted`: the server may have done what was asked of it, so that asking again may do it twice.
    """

    status: int | None
    code: str = ""
    retry_after_seconds: float | None = None
    may_have_acted: bool = True

    @property
    def is_transient(self) -> bool:
        return self.status is None or self.status == THROTTLED or self.status in TRANSIENT


@dataclass(frozen=True, slots=True)
class TryAgain:
    """After so many seconds."""

    wait_seconds: float


@dataclass(frozen=True, slots=True)
class RenewToken:
    """Try again at once with another token."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Give the failure to the caller."""


Decision = TryAgain | RenewToken | GiveUp


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with full jitter, bounded by attempts, by the longest wait and by the caller's patience.

    `max_attempts` counts the first one. Throttling has a bound of its own, since it is the server's way to pace us. A
    Retry-After is waited for in full, or not at all where it passes the patience.
    """

    max_attempts: int = 4
    max_throttled: int = 10
    base_seconds: float = 0.5
    cap_seconds: float = 8.0

    def decide(
        self,
        failure: Failure,
        *,
        attempt: int,
        left_seconds: float,
        repeatable: bool,
        token_is_new: bool,
        jitter: float,
    ) -> Decision:
        """The decision after the `attempt`th try (from 1) failed with `left_seconds` of patience left.

        `repeatable`: doing it twice does no harm. `token_is_new`: the refused token has been renewed for this call.
        `jitter` is a random number from 0 to 1.
        """
        if failure.status == UNAUTHORIZED:
            return GiveUp() if token_is_new else RenewToken()
        most = self.max_throttled if failure.status == THROTTLED else self.max_attempts
        if not failure.is_transient or attempt >= most or (failure.may_have_acted and not repeatable):
            return GiveUp()
        wait_seconds = failure.retry_after_seconds
        if wait_seconds is None:
            # The exponent is bounded because 2**1024 is no float.
            wait_seconds = jitter * min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 60))
        return TryAgain(wait_seconds) if wait_seconds <= left_seconds else GiveUp()


DEFAULT_RETRIES = RetryPolicy()
