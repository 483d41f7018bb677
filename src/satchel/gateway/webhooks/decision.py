"""What follows from one delivery attempt: done, given up, or tried again (contract section 8). No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from satchel.contract.events import ReceiverAnswer
from satchel.contract.headers import parse_retry_after

MAX_RETRY_AFTER_SECONDS = 10.0
MAX_STORED_ANSWER_BYTES = 2048
# So many attempts of the contract; a webhook of the long schedule has more, by which it lasts a day.
CONTRACT_ATTEMPTS = 3
LONGEST_TEXT_WAIT_SECONDS = 300.0
TEXT_PATIENCE_SECONDS = 3600.0
PAUSE_AT_ATTEMPTS = 10
_FIRST_TEXT_WAIT_SECONDS = 5.0
_JITTER = 0.2


class DeliveryStatus(StrEnum):
    """PENDING until one of the others: DELIVERED (success), REJECTED (answered, but not with success), FAILED (never
    answered usably), CANCELLED (the webhook was switched off or removed)."""

    PENDING = "pending"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: an HTTP status with the answer's first bytes, or an error without either.

    `error` is a class of trouble, never a text that could hold an address. `refused` says that nothing was sent,
    because the endpoint may not be called; `is_cut` that there was more of the answer than is read.
    """

    status: int | None = None
    answer: bytes = b""
    retry_after: str | None = None
    error: str | None = None
    refused: bool = False
    is_cut: bool = False

    @property
    def answer_text(self) -> str | None:
        """The answer as it is kept: at most 2 KB."""
        if self.status is None:
            return None
        return (
            self.answer[:MAX_STORED_ANSWER_BYTES].decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the delivery. PENDING: try again after `wait_seconds`; `error` says why it was no success."""

    status: DeliveryStatus
    error: str | None = None
    wait_seconds: float = 0.0


def decide(outcome: Outcome, attempt: int, *, pauses: Sequence[float], jitter: float, now: datetime) -> Decision:
    """The decision after the `attempt`-th attempt (from 1).

    `pauses` are the seconds before the second and each further attempt, of which there are no more than these; `jitter`
    (0 to 1) adds up to a fifth. Connection errors and 5xx are tried again, and 429 with Retry-After after that time
    (10 s at most, but no sooner than the schedule once the contract's attempts are made); nothing else is.
    """
    if outcome.refused:
        return Decision(DeliveryStatus.FAILED, outcome.error)
    if outcome.status == 200:
        return Decision(DeliveryStatus.REJECTED, "answer_too_long") if outcome.is_cut else _judge_answer(outcome.answer)
    error = outcome.error or f"http_{outcome.status}"
    wait_seconds = _wait(outcome, attempt, pauses, jitter, now)
    if wait_seconds is None or attempt > len(pauses):
        final = outcome.status is not None and outcome.status < 500
        return Decision(DeliveryStatus.REJECTED if final else DeliveryStatus.FAILED, error)
    return Decision(DeliveryStatus.PENDING, error, wait_seconds)


def longest_wait_seconds(attempts: int, pauses: Sequence[float]) -> float:
    """How long a delivery waits at most after so many attempts, whatever they met, or for its text before one."""
    pause = pauses[attempts - 1] * (1 + _JITTER) if 0 < attempts <= len(pauses) else 0.0
    return max(pause, MAX_RETRY_AFTER_SECONDS, LONGEST_TEXT_WAIT_SECONDS)


def text_wait_seconds(missing_seconds: float, retry_after_seconds: float | None) -> float | None:
    """How long to wait for a message's text, which the mail server has not given for `missing_seconds`; None once it
    goes without."""
    left = TEXT_PATIENCE_SECONDS - missing_seconds
    if left <= 0:
        return None
    doubled = max(missing_seconds, retry_after_seconds or 0.0, _FIRST_TEXT_WAIT_SECONDS)
    return min(doubled, LONGEST_TEXT_WAIT_SECONDS, left)


def is_given_up(failing_since: datetime, failed_attempts: int, now: datetime, *, pause_after_seconds: float) -> bool:
    """Whether a webhook that no attempt has reached since then is to be paused; `pause_after_seconds` 0: never."""
    has_lasted = now - failing_since >= timedelta(seconds=pause_after_seconds)
    return pause_after_seconds > 0 and failed_attempts >= PAUSE_AT_ATTEMPTS and has_lasted


def _wait(outcome: Outcome, attempt: int, pauses: Sequence[float], jitter: float, now: datetime) -> float | None:
    """Seconds to wait before another attempt; None where another is pointless."""
    pause = pauses[attempt - 1] * (1 + _JITTER * jitter) if attempt <= len(pauses) else None
    if outcome.status is None or outcome.status >= 500:
        return pause
    if outcome.status == 429:
        asked = parse_retry_after(outcome.retry_after, now)
        if asked is None:
            return None
        wait_seconds = min(asked, MAX_RETRY_AFTER_SECONDS)
        return wait_seconds if attempt < CONTRACT_ATTEMPTS else max(wait_seconds, pause or 0.0)
    return None


def _judge_answer(answer: bytes) -> Decision:
    try:
        envelope = msgspec.json.decode(answer, type=ReceiverAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Decision(DeliveryStatus.REJECTED, "not_an_answer")
    if not envelope.succeeded:
        return Decision(DeliveryStatus.REJECTED, "receiver_error")
    return Decision(DeliveryStatus.DELIVERED)
