"""Spans of time as people write them on a command line: `90d`, `12h`, `30m`."""

import re
from datetime import timedelta

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
