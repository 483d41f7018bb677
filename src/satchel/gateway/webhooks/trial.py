"""A webhook tried out by hand: the event that it is sent, and what its receiver made of it, in plain words. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from satchel.contract.events import RECEIVED, EmailAddress, MessageEvent, Recipient
from satchel.gateway.webhooks.decision import Outcome

_TEST_ADDRESS = "test@satchel.invalid"
_UNANSWERED = {
    "refused_address": "Its endpoint is, or its name leads to, an address that webhooks may not go to. Receivers "
    "inside your network need [gateway.webhooks] allowed_networks with their address.",
    "refused_endpoint": "Its endpoint is no URL that webhooks may go to: write it like https://example.com/webhook. "
    "http:// needs [gateway.webhooks] allow_http = true.",
    "timeout": "The receiver did not answer in the time of [gateway.webhooks] timeout_seconds.",
    "certificate": "The receiver's certificate cannot be trusted: it has expired, is another host's, or of an "
    "authority that is not known here. [gateway.webhooks] ca_file names authorities of your own.",
    "tls": "The receiver and Satchel agreed on no TLS. It has to speak version 1.2 or newer.",
    "unknown_host": "The endpoint's name was not found: look for a slip in it, or at the name server of this machine.",
    "cannot_connect": "Nobody takes connections at the endpoint: see that the receiver runs, and what is between.",
    "not_http": "What answered at the endpoint speaks no HTTP.",
    "disconnected": "The connection broke off before the answer was complete.",
}
_WANTED = 'The answer is to be {"status": "success", "message": "…"}.'


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a trial: `reason` for programs, `text` for people. `actions` are what the receiver asked for."""

    accepted: bool
    reason: str
    text: str
    status_code: int | None
    answer: str | None
    actions: Sequence[str] = ()


def trial_event(mailbox: str, now: datetime, *, with_text: bool) -> MessageEvent:
    """An event of a message that there is not, without attachments, so that a receiver finds nothing to fetch."""
    return MessageEvent(
        id="test",
        event=RECEIVED,
        internet_message_id="<test@satchel.invalid>",
        received=now,
        mailbox=mailbox,
        sender=_recipient("Satchel", _TEST_ADDRESS),
        from_=_recipient("Satchel", _TEST_ADDRESS),
        to=[_recipient("", mailbox)],
        cc=[],
        subject="Test of a webhook",
        has_attachments=False,
        timestamp=now,
        conversation_id="test",
        body_text="This message is a test; there is no such message.\n" if with_text else None,
    )


def judge(outcome: Outcome) -> Verdict:
    """Whether the answer is what the contract asks for (section 8), which is a little more than deliveries do."""
    reason, text = _judged(outcome)
    actions = _actions(outcome.answer) if reason == "accepted" else []
    return Verdict(reason == "accepted", reason, text, outcome.status, outcome.answer_text, actions)


def _recipient(name: str, address: str) -> Recipient:
    return Recipient(EmailAddress(name, address))


def _judged(outcome: Outcome) -> tuple[str, str]:
    if outcome.status is None:
        reason = outcome.error or "disconnected"
        return reason, _UNANSWERED.get(reason, f"There was no answer: {reason}.")
    if outcome.status != 200:
        return f"http_{outcome.status}", _status_text(outcome.status)
    if outcome.is_cut:
        return "answer_too_long", f"The answer is too long to be read. {_WANTED}"
    return _judged_answer(outcome.answer)


def _status_text(status: int) -> str:
    said = f"The receiver answered HTTP {status}"
    if 300 <= status < 400:
        return f"{said}, and redirects are not followed: give the webhook the URL that it leads to."
    if status in {401, 403}:
        return f"{said}: see that it has the secret of this webhook."
    if status == 429:
        return f"{said}: too many requests. A delivery is tried again if the answer says when, with Retry-After."
    if status >= 500:
        return f"{said}, which says that it cannot take it now. A delivery is tried again."
    return f"{said}; only 200 is taken for an answer. A delivery is not tried again."


def _judged_answer(body: bytes) -> tuple[str, str]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "not_json", f"The answer is no JSON. {_WANTED}"
    if not isinstance(answer, dict):
        return "not_an_answer", f"The answer is no JSON object. {_WANTED}"
    for field in ("status", "message"):
        if not isinstance(answer.get(field), str):
            return f"missing_{field}", f"The answer has no {field}, or it is no text. {_WANTED}"
    if not isinstance(answer.get("actions"), list | None):
        return "not_an_answer", "The actions of the answer are no list."
    if answer["status"] != "success":
        return "receiver_error", f"The receiver said {answer['status']!r}: {answer['message']}"
    return "accepted", f"The receiver accepted it: {answer['message']}"


def _actions(body: bytes) -> list[str]:
    """The actions of an answer that was accepted, each by its type and name."""
    return [_action(each) for each in msgspec.json.decode(body).get("actions") or ()]


def _action(action: Any) -> str:
    if not isinstance(action, dict):
        return "?"
    kind, name = (action.get(field) for field in ("type", "name"))
    return " ".join(str(part) for part in (kind or "?", f"({name})" if name else "") if part)
