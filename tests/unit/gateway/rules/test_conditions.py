"""Conditions are refused when they are made, also those that stand in the database."""

from typing import Any

import msgspec
import pytest

from satchel.gateway.rules.conditions import AttachmentConditions, Conditions, is_match


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(),
        Conditions(
            senders=("@example.com", "ann@example.com"),
            recipients=("@*.example.com",),
            subject_contains=("invoice", "Rechnung"),
            subject_regex=r"^\[#\d+\]",
            has_attachments=True,
            attachments=AttachmentConditions(("application/pdf", "image/*", ".xlsx"), 1, 2**40, with_inline=True),
        ),
    ],
)
def test_they_come_back_from_the_database_as_they_went_in(conditions: Conditions) -> None:
    stored = msgspec.to_builtins(conditions)
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(stored)), Conditions) == conditions


@pytest.mark.parametrize(
    "stored",
    [
        {"sender": ["@example.com"]},
        {"senders": "@example.com"},
        {"senders": ["example.com"]},
        {"senders": ["@example.com"] * 201},
        {"recipients": [""]},
        {"subject_contains": [""]},
        {"subject_contains": ["  "]},
        {"subject_contains": ["x" * 501]},
        {"subject_regex": ""},
        {"subject_regex": "("},
        {"has_attachments": 1},
        {"has_attachments": False, "attachments": {}},
        {"attachments": {"kinds": ["pdf"]}},
        {"attachments": {"kinds": ["[a]/b"]}},
        {"attachments": {"kinds": [".a/b"]}},
        {"attachments": {"min_bytes": -1}},
        {"attachments": {"min_bytes": 2, "max_bytes": 1}},
        {"attachments": {"max_bytes": 2**63}},
        {"attachments": {"of": "any"}},
        [],
        None,
    ],
)
def test_what_cannot_be_decided_is_refused(stored: Any) -> None:
    with pytest.raises(ValueError):
        msgspec.convert(stored, Conditions)


@pytest.mark.parametrize(
    ("regex", "reason"),
    [
        ("(", "missing )"),
        (r"(a)\1", "invalid escape sequence"),
        ("(?=a)", "invalid perl operator"),
        ("(x{1000}){1000}", "repetition size"),
        ("((((x{30}){30}){30}){30}){30}", "repetition size"),
        (r"\pL{1000}", "too large"),
        ("x" * 1_001, "1,000 characters"),
        ("\ud800", "no Unicode"),
    ],
)
def test_a_regular_expression_that_is_refused_says_why(regex: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        Conditions(subject_regex=regex)
    assert reason in str(caught.value)


@pytest.mark.parametrize("regex", ["(a+)+$", "(a|a)*b$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a|aa)+$"])
def test_no_regular_expression_takes_long(regex: str) -> None:
    # By backtracking each of these would outlast the universe: the test ends, so there is none.
    Conditions(subject_regex=regex)
    assert not is_match(regex, "a" * 10_000 + "!\n")


def test_case_makes_no_difference_unless_the_expression_says_so() -> None:
    assert is_match("^RECHNUNG", "Rechnung 42")
    assert is_match("müller", "MÜLLER")
    assert not is_match("(?-i)rechnung", "Rechnung")
