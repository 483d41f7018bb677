"""What becomes of a failed attempt: a pure decision, and the reason that the ledger keeps."""

import re
from dataclasses import dataclass

from satchel.client import ClientError, GiveUp, RetryPolicy
from satchel.collector.sinks.sink import SinkError
from satchel.contract.errors import ApiError

AttemptError = ApiError | ClientError | SinkError
ATTEMPT_ERRORS: tuple[type[Exception], ...] = (ApiError, ClientError, SinkError)

_REASON = re.compile(r"[a-z][a-z0-9_]{0,63}")
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Decision:
    """`delay_seconds` until the next attempt; None: this row has failed."""

    reason: str
    delay_seconds: float | None


def decide(failure: AttemptError, tries: int, policy: RetryPolicy, jitter: float) -> Decision:
    """The decision after the failure of a row that had `tries` attempts before; `jitter` is random, from 0 to 1.

    The policy keeps to a server's Retry-After, and to a minute after a 429 without one (contract section 5).
    """
    verdict = policy.decide(failure, tries + 1, jitter)
    return Decision(reason_of(failure), None if isinstance(verdict, GiveUp) else verdict.wait_seconds)


def reason_of(failure: AttemptError) -> str:
    """Stable snake_case. A server's own reason is taken only where it looks like one."""
    if isinstance(failure, ApiError):
        return failure.reason if _REASON.fullmatch(failure.reason) else f"http_{failure.status}"
    if isinstance(failure, SinkError):
        return failure.reason
    return _WORD.sub("_", type(failure).__name__).lower()
