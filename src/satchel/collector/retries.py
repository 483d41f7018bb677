"""What becomes of a failed attempt: a pure decision, and the reason that the ledger keeps."""

import re
from dataclasses import dataclass, replace

from satchel.client import ClientError, GiveUp, RetryPolicy, ServerNotTrusted, UnexpectedAnswer
from satchel.client.retry import Failure
from satchel.collector.sinks.sink import SinkError
from satchel.contract.errors import ApiError, Forbidden, NotFound, Reason, Unauthorized

AttemptError = ApiError | ClientError | SinkError
ATTEMPT_ERRORS: tuple[type[Exception], ...] = (ApiError, ClientError, SinkError)

# A server may know a message a moment later than its own webhook says; with a base of 1 s this waits for 31 s at most.
NOT_FOUND_ATTEMPTS = 6

_REASON = re.compile(r"[a-z][a-z0-9_]{0,63}")
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Decision:
    """`delay_seconds` until the next attempt; None: this row has failed."""

    reason: str
    delay_seconds: float | None


@dataclass(frozen=True, slots=True)
class _Passing:
    """Stands for a failure that passes when somebody mends the way to the server, the message being what it was."""

    retry_after_seconds: float | None
    transient: bool = True


def decide(failure: AttemptError, tries: int, policy: RetryPolicy, jitter: float) -> Decision:
    """The decision after the failure of a row that had `tries` attempts before; `jitter` is random, from 0 to 1.

    The policy keeps to a server's Retry-After, and to a minute after a 429 without one (contract section 5). What is
    final to a caller who waits for it may pass for one who can wait for a day: a key that has to be renewed, a
    certificate, the page of a proxy in trouble, a 404 right after the arrival.
    """
    if isinstance(failure, NotFound):
        policy = replace(policy, max_attempts=min(policy.max_attempts, NOT_FOUND_ATTEMPTS))
    met: Failure = _Passing(failure.retry_after_seconds) if _passes(failure) else failure
    verdict = policy.decide(met, tries + 1, jitter)
    return Decision(reason_of(failure), None if isinstance(verdict, GiveUp) else verdict.wait_seconds)


def _passes(failure: AttemptError) -> bool:
    if isinstance(failure, Forbidden):
        return failure.reason == Reason.MISSING_SCOPE
    if isinstance(failure, ApiError) and failure.status == 416:
        # Only a continuation asks for a range: the attachment changed meanwhile, and the next attempt begins anew.
        return True
    return isinstance(failure, NotFound | Unauthorized | UnexpectedAnswer | ServerNotTrusted)


def reason_of(failure: AttemptError) -> str:
    """Stable snake_case. A server's own reason is taken only where it looks like one."""
    if isinstance(failure, ApiError):
        return failure.reason if _REASON.fullmatch(failure.reason) else f"http_{failure.status}"
    if isinstance(failure, SinkError):
        return failure.reason
    return _WORD.sub("_", type(failure).__name__).lower()
