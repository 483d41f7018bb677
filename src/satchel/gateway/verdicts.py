"""What becomes of a message that was to be described: into the index, tried again, or nothing. Decides, and does
nothing."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from satchel.gateway.rules.decision import Firing
from satchel.gateway.store.messages import Arrival
from satchel.gateway.store.pending import PendingMessage, Postponed
from satchel.mail.source import MessageNotFound, MessageSummary, SourceError, SourceUnavailable

# For what a defect of ours may be, and no trouble of the mail server: that one is waited out, however long it takes.
MAX_ATTEMPTS = 20
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Described:
    """What the source says of a message, and which rules fire for that."""

    summary: MessageSummary
    firings: tuple[Firing, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to write into the index, and when to try again. Neither: the message is gone."""

    arrival: Arrival | None = None
    postponed: Postponed | None = None


def judge(
    message: PendingMessage,
    result: Described | Exception | None,
    *,
    is_baseline: bool,
    now: datetime,
    patience_seconds: float,
) -> Verdict:
    """The verdict on a message, given its description, or why there is none; None: it was not its turn.

    A message that is not found is looked for until `patience_seconds` after it was first seen. One of the baseline is
    not: whatever became of it, it must not be announced later.
    """
    ref = message.ref
    if isinstance(result, Described):
        # The source may know by now a better way to the message than what announced it.
        place = replace(ref, locator=result.summary.ref.locator)
        return Verdict(Arrival(place, result.summary, is_baseline, result.firings))
    if isinstance(result, MessageNotFound):
        until = message.first_seen_at + timedelta(seconds=patience_seconds)
        return Verdict() if is_baseline or now >= until else Verdict(postponed=_postponed(message, result, now, until))
    if result is not None and is_final(message, result):
        return Verdict(Arrival(ref, None, is_baseline))
    # Its row is what keeps one of the baseline from being announced when it is described at last.
    arrival = Arrival(ref, None, is_baseline) if is_baseline else None
    return Verdict(arrival, _postponed(message, result, now))


def pause_seconds(attempts: int, retry_after_seconds: float | None = None) -> float:
    """How long to wait after so many attempts: twice as long each time, to five minutes, or as the server said."""
    doubled = _FIRST_PAUSE_SECONDS * 2.0 ** min(max(attempts - 1, 0), 20)
    return min(max(retry_after_seconds or doubled, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)


def is_final(message: PendingMessage, error: Exception) -> bool:
    """Whether trying again would change nothing, or this was the last of the attempts at what may be a defect."""
    return not error.transient if isinstance(error, SourceError) else message.attempts + 1 >= MAX_ATTEMPTS


def _postponed(
    message: PendingMessage, error: Exception | None, now: datetime, until: datetime | None = None
) -> Postponed:
    tried = message if error is None else replace(message, attempts=message.attempts + 1)
    retry_after = error.retry_after_seconds if isinstance(error, SourceUnavailable) else None
    next_attempt_at = now + timedelta(seconds=pause_seconds(tried.attempts, retry_after))
    return Postponed(tried, next_attempt_at if until is None else min(next_attempt_at, until))
