"""Times on the command line."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from satchel.cli.durations import parse_duration, parse_past


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


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("24h", NOW - timedelta(days=1)),
        ("2026-02-28T12:00:00Z", NOW - timedelta(days=1)),
        (" 2026-02-28T13:00:00+01:00 ", datetime(2026, 2, 28, 13, tzinfo=timezone(timedelta(hours=1)))),
        ("2026-02-28T12:00:00", NOW - timedelta(days=1)),
        ("2026-02-28", datetime(2026, 2, 28, tzinfo=UTC)),
    ],
)
def test_an_instant_in_the_past(text: str, instant: datetime) -> None:
    assert parse_past(text, NOW) == instant


@pytest.mark.parametrize(
    "text", ["", "yesterday", "24", "2026-02-30", "0h", "0001-01-01T00:00+14:00", "9999-12-31T23:00-12:00"]
)
def test_what_is_no_instant_is_advised(text: str) -> None:
    with pytest.raises(ValueError, match=r"as in 90d or 12h, or an instant"):
        parse_past(text, NOW)
