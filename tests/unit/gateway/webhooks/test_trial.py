import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satchel.contract.events import decode_event
from satchel.gateway.webhooks.decision import DeliveryStatus, Outcome, decide
from satchel.gateway.webhooks.sender import _ERRORS
from satchel.gateway.webhooks.trial import judge, trial_event

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ANSWERS = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))
FIELDS = st.fixed_dictionaries(
    {}, optional={"status": st.sampled_from(["success", "error", "x", 1, None]), "message": ANSWERS, "actions": ANSWERS}
)


def test_the_event_has_nothing_to_fetch() -> None:
    body = msgspec.json.encode(trial_event("invoices@example.com", NOW, with_text=False))
    event = decode_event(body)
    assert (event.id, event.event, event.has_attachments, event.mailbox) == (
        "test",
        "received",
        False,
        "invoices@example.com",
    )
    assert "bodyText" not in json.loads(body)
    assert "test" in json.loads(msgspec.json.encode(trial_event("a@b.c", NOW, with_text=True)))["bodyText"]


@pytest.mark.parametrize("word", ["refused_address", "refused_endpoint", *(word for _, word in _ERRORS)])
def test_every_way_to_get_no_answer_has_its_words(word: str) -> None:
    verdict = judge(Outcome(error=word))
    assert (verdict.accepted, verdict.reason, verdict.answer) == (False, word, None)
    assert f": {word}." not in verdict.text
    assert "no answer" in judge(Outcome(error="something_new")).text


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (302, "redirects are not followed"),
        (401, "secret"),
        (403, "secret"),
        (404, "only 200"),
        (201, "only 200"),
        (429, "with Retry-After"),
        (503, "tried again"),
    ],
)
def test_other_statuses(status: int, text: str) -> None:
    verdict = judge(Outcome(status, b"what"))
    assert (verdict.accepted, verdict.reason, verdict.answer) == (False, f"http_{status}", "what")
    assert f"HTTP {status}" in verdict.text
    assert text in verdict.text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "not_json"),
        ("<html>", "not_json"),
        ('{"status": "success"', "not_json"),
        ("[" * 100_000, "not_json"),
        ("[]", "not_an_answer"),
        ('"success"', "not_an_answer"),
        ("{}", "missing_status"),
        ('{"status": true, "message": ""}', "missing_status"),
        ('{"status": "success"}', "missing_message"),
        ('{"status": "success", "message": null}', "missing_message"),
        ('{"status": "success", "message": "", "actions": {}}', "not_an_answer"),
        ('{"status": "error", "message": "No."}', "receiver_error"),
        ('{"status": "ok", "message": "Done."}', "receiver_error"),
    ],
)
def test_answers_that_are_not_accepted(answer: str, reason: str) -> None:
    verdict = judge(Outcome(200, answer.encode()))
    assert (verdict.accepted, verdict.reason, list(verdict.actions)) == (False, reason, [])


def test_an_answer_that_is_cut() -> None:
    assert judge(Outcome(200, b'{"status": "success", "message": ""}', is_cut=True)).reason == "answer_too_long"


def test_an_answer_that_is_accepted_with_its_actions() -> None:
    actions = [{"type": "tag", "name": "Bills", "value": {}}, {"type": "assign"}, {"name": "Third"}, "odd"]
    answer = {"status": "success", "message": "Saved 2.", "actions": actions}
    verdict = judge(Outcome(200, json.dumps(answer).encode()))
    assert (verdict.accepted, verdict.reason, verdict.status_code) == (True, "accepted", 200)
    assert verdict.text.endswith("Saved 2.")
    assert verdict.actions == ["tag (Bills)", "assign", "? (Third)", "?"]


@given(FIELDS)
def test_what_is_accepted_is_delivered_and_what_is_delivered_lacks_a_message_at_most(answer: dict[str, object]) -> None:
    outcome = Outcome(200, json.dumps(answer).encode())
    verdict = judge(outcome)
    delivered = decide(outcome, 1, pauses=[], jitter=0, now=NOW).status is DeliveryStatus.DELIVERED
    assert delivered or not verdict.accepted
    assert verdict.accepted or not delivered or verdict.reason == "missing_message"
