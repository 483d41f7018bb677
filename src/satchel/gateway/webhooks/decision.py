"""What follows from one delivery attempt: done, given up, or tried again (contract section 8). No I/O."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from satchel.contract.events import ReceiverAnswer
from satchel.contract.headers import parse_retry_after

MAX_ATTEMPTS = 3
MAX_RETRY_AFTER_SECONDS = 10.0
MAX_STORED_ANSWER_BYTES = 2048
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
    because the endpoint may not be called.
    """

    status: int | None = None
    answer: bytes = b""
    retry_after: str | None = None
    error: str | None = None
    refused: bool = False

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


def decide(outcome: Outcome, attempt: int, *, pauses: list[float], jitter: float, now: datetime) -> Decision:
    """The decision after the `attempt`-th attempt (from 1).

    `pauses` are the seconds before the second and third attempt; `jitter` (0 to 1) adds up to a fifth of them.
    Connection errors and 5xx are tried again, 429 with Retry-After after that time (10 s at most), nothing else is.
    """
    if outcome.refused:
        return Decision(DeliveryStatus.FAILED, outcome.error)
    if outcome.status == 200:
        return _judge_answer(outcome.answer)
    error = outcome.error or f"http_{outcome.status}"
    wait_seconds = _wait(outcome, attempt, pauses, jitter, now)
    if wait_seconds is None or attempt > len(pauses) or attempt >= MAX_ATTEMPTS:
        final = outcome.status is not None and outcome.status < 500
        return Decision(DeliveryStatus.REJECTED if final else DeliveryStatus.FAILED, error)
    return Decision(DeliveryStatus.PENDING, error, wait_seconds)


def _wait(outcome: Outcome, attempt: int, pauses: list[float], jitter: float, now: datetime) -> float | None:
    """Seconds to wait before another attempt; None where another is pointless."""
    if outcome.status is None or outcome.status >= 500:
        return pauses[attempt - 1] * (1 + _JITTER * jitter) if attempt <= len(pauses) else None
    if outcome.status == 429:
        asked = parse_retry_after(outcome.retry_after, now)
        return None if asked is None else min(asked, MAX_RETRY_AFTER_SECONDS)
    return None


def _judge_answer(answer: bytes) -> Decision:
    try:
        envelope = msgspec.json.decode(answer, type=ReceiverAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Decision(DeliveryStatus.REJECTED, "not_an_answer")
    if not envelope.succeeded:
        return Decision(DeliveryStatus.REJECTED, "receiver_error")
    return Decision(DeliveryStatus.DELIVERED)
