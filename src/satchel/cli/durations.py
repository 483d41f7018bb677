"""Times as people write them on a command line: spans (`90d`, `12h`, `30m`), and instants in the past."""

import re
from datetime import UTC, datetime, timedelta

_DURATION = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
# Before and behind it the calendar goes on.
_MAX_DAYS = 100 * 365


def parse_duration(text: str) -> timedelta:
    """A span from a number and a unit. Raises ValueError with advice."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{text!r} is no span of time: write a number and a unit (s, m, h, d, w), as in 90d.")
    span = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if span.days > _MAX_DAYS:
        raise ValueError(f"{text!r} is too long: at most {_MAX_DAYS}d.")
    return span


def parse_past(text: str, now: datetime) -> datetime:
    """An instant from a span before `now`, or written as in RFC 3339 (UTC where it names no offset).

    Raises ValueError with advice.
    """
    for read in (_instant, lambda text: now - parse_duration(text)):
        try:
            return read(text)
        except (ValueError, OverflowError):
            continue
    raise ValueError(
        f"{text!r} is no time: write how long ago, as in 90d or 12h, or an instant, as in 2026-01-31T12:00:00Z."
    )


def _instant(text: str) -> datetime:
    """Raises ValueError, and OverflowError for one that lies outside the calendar in UTC."""
    instant = datetime.fromisoformat(text.strip())
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
