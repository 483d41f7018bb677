"""Which of a lane's deliveries comes next."""

from datetime import UTC, datetime, timedelta

import pytest

from satchel.gateway.webhooks.order import Candidate, Choice, choose

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAUSES = [5.0, 30.0, 300.0, 1800.0, 7200.0, 21600.0, 57600.0]


def waiting(text: str) -> list[Candidate]:
    """`a0 b1+5`: a, not tried yet, is due; b, tried once, is due in five seconds."""
    found = []
    for each in text.split():
        name, _, seconds = each.partition("+")
        found.append(Candidate(name[0], int(name[1:]), NOW + timedelta(seconds=float(seconds or 0))))
    return found


def chosen(text: str, busy: str = "", width: int = 1) -> Choice:
    return choose(waiting(text), frozenset(busy), width=width, pauses=PAUSES, now=NOW)


@pytest.mark.parametrize(
    ("candidates", "busy", "width", "expected"),
    [
        ("a0 b0", "", 1, "a"),
        ("a0 b0", "a", 1, None),
        ("a0 b0", "a", 2, "b"),
        ("a0 b0 c0", "b", 2, "a"),
        # Its second and third attempt keep their place.
        ("a1+5 b0", "", 1, None),
        ("a2+30 b0", "", 1, None),
        ("a1 b0", "", 1, "a"),
        ("a0+60 b0", "", 1, None),
        # Later ones are passed.
        ("a3+300 b0", "", 1, "b"),
        ("a3+300 b1+5 c0", "", 1, None),
        ("a3 b0", "", 1, "a"),
        ("a7+57600 b7+9 c0", "", 1, "c"),
        # Where several may be under way, one that keeps its place has one of their places.
        ("a1+5 b0", "", 2, "b"),
        ("a1+5 b1+5 c0", "", 2, None),
        ("a1+5 b0 c0", "b", 2, None),
        ("a1+5 b0 c0", "b", 3, "c"),
        ("", "", 1, None),
    ],
)
def test_the_next(candidates: str, busy: str, width: int, expected: str | None) -> None:
    assert chosen(candidates, busy, width).delivery_id == expected


def test_it_says_when_to_look_again() -> None:
    assert chosen("a1+5 b1+3").look_at == NOW + timedelta(seconds=5)
    assert chosen("a1+5 b1+3", width=2).look_at == NOW + timedelta(seconds=3)
    assert chosen("a3+60 b1+90").look_at == NOW + timedelta(seconds=60)
    assert chosen("").look_at is None


@pytest.mark.parametrize(
    ("candidate", "is_due"),
    [("a1+301", True), ("a1+300", False), ("a3+360", False), ("a3+361", True), ("a7+69120", False), ("a7+69121", True)],
)
def test_a_clock_that_was_put_back_keeps_nothing_waiting(candidate: str, is_due: bool) -> None:
    """No pause is that long, so the time was set by a clock that went ahead."""
    assert (chosen(candidate).delivery_id == "a") is is_due
