"""Spans of time on the command line."""

from datetime import timedelta

import pytest

from satchel.cli.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90d", timedelta(days=90)),
        ("12h", timedelta(hours=12)),
        ("30m", timedelta(minutes=30)),
        ("45s", timedelta(seconds=45)),
        ("2w", timedelta(weeks=2)),
        (" 1D ", timedelta(days=1)),
    ],
)
def test_number_and_unit(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "0d", "1.5h", "1y", "1d2h", "9999999d"])
def test_anything_else_is_advised(text: str) -> None:
    with pytest.raises(ValueError, match="as in 90d"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["36501d", "999999d", "999999w"])
def test_a_span_that_no_calendar_holds_is_too_long(text: str) -> None:
    with pytest.raises(ValueError, match="at most 36500d"):
        parse_duration(text)


def test_the_longest() -> None:
    assert parse_duration("36500d") == timedelta(days=36_500)
