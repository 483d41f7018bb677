"""The limits that Exchange announces, enforced: so many calls in a time, so many at once, for an app and a mailbox."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from satchel.testing.graph.calls import Calls
from satchel.testing.graph.errors import GraphError


@dataclass(slots=True)
class Limits:
    """Per app and mailbox, as Outlook's service limits say; failed calls count too. `says_when`: with Retry-After."""

    requests: int = 10_000
    window_seconds: float = 600.0
    concurrent: int = 4
    says_when: bool = True


class Throttle:
    """Refuses calls beyond the limits. `steady` gives seconds of a clock that does not jump."""

    def __init__(self, limits: Limits, calls: Calls, steady: Callable[[], float]) -> None:
        self.limits = limits
        self._calls = calls
        self._steady = steady
        self._started: dict[str, deque[float]] = {}

    def admit(self, mailbox: str) -> None:
        """Count a call that has begun. Raises GraphError, 429, when it is one too many."""
        now = self._steady()
        peaks = self._calls.peaks
        started = self._started.setdefault(mailbox.lower(), deque())
        while started and started[0] <= now - self.limits.window_seconds:
            started.popleft()
        started.append(now)
        peaks.most_in_window[mailbox.lower()] = max(peaks.most_in_window.get(mailbox.lower(), 0), len(started))
        if self._calls.under_way(mailbox) > self.limits.concurrent:
            peaks.refused_concurrent += 1
            raise self._refusal("Application is over its MailboxConcurrency limit.", 1)
        if len(started) > self.limits.requests:
            peaks.refused_rate += 1
            wait = int(started[0] + self.limits.window_seconds - now) + 1
            raise self._refusal("Application is over its request limit.", wait)

    def _refusal(self, message: str, wait_seconds: int) -> GraphError:
        return throttled(wait_seconds if self.limits.says_when else None, message)


def throttled(
    retry_after_seconds: int | None, message: str = "Application is over its MailboxConcurrency limit."
) -> GraphError:
    """429 as Exchange gives it."""
    headers = {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
    return GraphError(429, "ApplicationThrottled", message, headers=headers, spelling="innererror")
