"""What becomes of a failed attempt: a pure decision, and the reason that the ledger keeps."""

import re
from dataclasses import dataclass, replace

from satchel.client import ClientError, GiveUp, RetryPolicy, ServerNotTrusted, UnexpectedAnswer
from satchel.client.retry import Failure
from satchel.collector.sinks.sink import SinkError
from satchel.contract.errors import ApiError, Forbidden, NotFound, RateLimited, Reason, Unauthorized

# The reason of what is none of the errors that an attempt may end with: a defect, or the ledger in trouble.
INTERNAL = "internal"

# A server may know a message a moment later than its own webhook says; with a base of 1 s this waits for 31 s at most.
NOT_FOUND_ATTEMPTS = 6

_REASON = re.compile(r"[a-z][a-z0-9_]{0,63}")
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Decision:
    """`delay_seconds` until the next attempt; None: this row has failed. `counted`: the attempt counts as a try."""

    reason: str
    delay_seconds: float | None
    counted: bool = True


@dataclass(frozen=True, slots=True)
class _Passing:
    """Stands for a failure that passes when somebody mends the way to the server, the message being what it was."""

    retry_after_seconds: float | None
    transient: bool = True


def decide(failure: Exception, tries: int, policy: RetryPolicy, jitter: float) -> Decision:
    """The decision after the failure of a row that had `tries` attempts before; `jitter` is random, from 0 to 1.

    The policy keeps to a server's Retry-After, and to a minute after a 429 without one (contract section 5). What is
    final to a caller who waits for it may pass for one who can wait for a day: a key that has to be renewed, a
    certificate, the page of a proxy in trouble, a 404 right after the arrival. A 429 says nothing of the row, so it
    never uses up its attempts. What is none of our errors may pass, too, but is bounded like the others.
    """
    if not isinstance(failure, ApiError | ClientError | SinkError):
        verdict = policy.decide(_Passing(None), tries + 1, jitter)
        return Decision(INTERNAL, None if isinstance(verdict, GiveUp) else verdict.wait_seconds)
    if isinstance(failure, RateLimited):
        policy = replace(policy, max_attempts=tries + 2)
    if isinstance(failure, NotFound):
        policy = replace(policy, max_attempts=min(policy.max_attempts, NOT_FOUND_ATTEMPTS))
    met: Failure = _Passing(failure.retry_after_seconds) if _passes(failure) else failure
    verdict = policy.decide(met, tries + 1, jitter)
    delay_seconds = None if isinstance(verdict, GiveUp) else verdict.wait_seconds
    return Decision(reason_of(failure), delay_seconds, counted=not isinstance(failure, RateLimited))


def _passes(failure: ApiError | ClientError | SinkError) -> bool:
    if isinstance(failure, Forbidden):
        return failure.reason == Reason.MISSING_SCOPE
    if isinstance(failure, ApiError) and failure.status == 416:
        # Only a continuation asks for a range: the attachment changed meanwhile, and the next attempt begins anew.
        return True
    return isinstance(failure, NotFound | Unauthorized | UnexpectedAnswer | ServerNotTrusted)


def reason_of(failure: ApiError | ClientError | SinkError) -> str:
    """Stable snake_case. A server's own reason is taken only where it looks like one."""
    if isinstance(failure, ApiError):
        return failure.reason if _REASON.fullmatch(failure.reason) else f"http_{failure.status}"
    if isinstance(failure, SinkError):
        return failure.reason
    return _WORD.sub("_", type(failure).__name__).lower()
