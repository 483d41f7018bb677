"""Which of a lane's deliveries comes next. No I/O."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from satchel.gateway.webhooks.decision import longest_wait_seconds

# One that waits for its second or third attempt keeps its place, so that the order is kept; a longer wait does not.
ATTEMPTS_IN_ORDER = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A delivery that waits, after so many attempts that count."""

    delivery_id: str
    attempts: int
    next_attempt_at: datetime

    @property
    def keeps_its_place(self) -> bool:
        return self.attempts < ATTEMPTS_IN_ORDER


@dataclass(frozen=True, slots=True)
class Choice:
    """What comes next, or else from when on there may be something: None where that is not known from these."""

    delivery_id: str | None = None
    look_at: datetime | None = None


def choose(
    candidates: Sequence[Candidate], busy: Collection[str], *, width: int, pauses: Sequence[float], now: datetime
) -> Choice:
    """The first of a lane's deliveries, given in order, whose time has come and for which there is room.

    `width` are those that may be under way at once, `busy` those that are. One that keeps its place while it waits
    takes up room like one under way.
    """
    occupied = len(busy)
    look_at: datetime | None = None
    for each in candidates:
        if occupied >= width:
            break
        if each.delivery_id in busy:
            continue
        if is_due(each, pauses, now):
            return Choice(each.delivery_id)
        look_at = min(look_at or each.next_attempt_at, each.next_attempt_at)
        if each.keeps_its_place:
            occupied += 1
    return Choice(look_at=look_at)


def is_due(candidate: Candidate, pauses: Sequence[float], now: datetime) -> bool:
    """Whether its time has come. One that would wait for longer than any pause was given its time by a clock that has
    been put back since."""
    wait = candidate.next_attempt_at - now
    return wait <= timedelta(0) or wait > timedelta(seconds=longest_wait_seconds(candidate.attempts, pauses))
