"""Faults as values, and the dice that decide about them."""

import pytest

from satchel.testing.graph import ALWAYS, NEVER, Faults, When, chance, next_calls, parse_value
from satchel.testing.graph.calls import Call, Calls
from satchel.testing.graph.dice import Dice
from satchel.testing.graph.faults import KINDS
from satchel.testing.graph.notifications import KIND
from satchel.testing.graph.server import ROUTES


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        ("3", 3),
        ("chunked", "chunked"),
        ("none", None),
        ("next:2", {"chance": 1.0, "times": 2}),
        ("0.5,routes=content+mime", {"chance": 0.5, "routes": ["content", "mime"]}),
        ("next:1,mailbox=A@Example.com", {"chance": 1.0, "times": 1, "mailbox": "a@example.com"}),
        ("0.5,times=4", {"chance": 0.5, "times": 4}),
    ],
)
def test_values_on_the_command_line(text: str, value: object) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["next:x", "1,nonsense", "1,other=2", "1,times=x"])
def test_values_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError):
        parse_value(text)


def test_faults_are_set_by_name() -> None:
    faults = Faults()
    faults.set("throttle", 0.25)
    faults.set("reset", {"times": 2, "routes": ["content"], "mailbox": "a@example.com"})
    faults.set("reset_after_bytes", 10)
    faults.set("framing", "close")
    faults.set("latency_seconds", 1)
    assert faults.throttle == chance(0.25)
    assert faults.reset == next_calls(2, "content", mailbox="a@example.com")
    assert (faults.reset_after_bytes, faults.framing, faults.latency_seconds) == (10, "close", 1.0)
    faults.set("reset_after_bytes", None)
    assert faults.reset_after_bytes is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("invented", 1),
        ("throttle", 1.5),
        ("throttle", -0.1),
        ("throttle", "often"),
        ("throttle", {"often": 1}),
        ("throttle", {"chance": 2}),
        ("framing", "none"),
        ("latency_seconds", -1),
        ("retry_after_seconds", 1.5),
        ("attachments_per_page", 0),
    ],
)
def test_faults_that_cannot_be_set(name: str, value: object) -> None:
    faults = Faults()
    with pytest.raises(ValueError):
        faults.set(name, value)
    assert faults == Faults()


def test_faults_go_to_json_and_back() -> None:
    faults = Faults(throttle=chance(0.1, "messages"), reset=next_calls(3), framing="chunked", short_after_bytes=7)
    again = Faults()
    for name, value in faults.as_json().items():
        again.set(name, value)
    assert again == faults


def test_the_next_calls_and_no_more() -> None:
    dice, when = Dice(), next_calls(2)
    assert [dice.falls(when, "messages") for _ in range(4)] == [True, True, False, False]
    assert dice.falls(next_calls(2), "messages"), "another value counts anew"


def test_who_is_not_concerned_is_not_counted() -> None:
    dice, when = Dice(), next_calls(1, "content", mailbox="a@example.com")
    assert not dice.falls(when, "messages", "a@example.com")
    assert not dice.falls(when, "content", "b@example.com")
    assert dice.falls(when, "content", "a@example.com")


def test_chances_come_from_the_seed() -> None:
    def drawn(seed: int) -> list[bool]:
        dice = Dice(seed)
        return [dice.falls(chance(0.3), "messages") for _ in range(400)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 80 < sum(drawn(1)) < 160
    assert all(0 <= Dice(seed).below(3) < 3 for seed in range(50))
    assert Dice().below(0) == 0


def test_never_and_always() -> None:
    dice = Dice()
    assert not any(dice.falls(NEVER, "messages") for _ in range(100))
    assert all(dice.falls(ALWAYS, "messages") for _ in range(100))
    with pytest.raises(ValueError, match="between 0 and 1"):
        When(1.1)


def test_calls_that_are_none_are_told_apart_from_those_that_there_are() -> None:
    assert {route.kind for route in ROUTES} | {KIND} == KINDS
    with pytest.raises(ValueError, match="there are no calls contents"):
        chance(0.5, "contents")
    with pytest.raises(ValueError, match="a number of times was expected"):
        parse_value("next:often")


def test_a_long_run_forgets_its_oldest_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("satchel.testing.graph.calls.KEPT", 3)
    calls = Calls(lambda: 0.0)
    for number in range(20):
        call = Call("GET", "messages", "", str(number), "", None, "", 0.0)
        calls.begin(call)
        calls.end(call, 200)
    assert [call.path for call in calls.list][-3:] == ["17", "18", "19"]
    assert len(calls.list) <= 6
