"""The life of a delivery in the store."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa

from satchel.contract.events import MessageEvent
from satchel.gateway.store.deliveries import BegunAttempt, begin_attempt, finish_attempt, pending_deliveries
from satchel.gateway.store.mailboxes import add_mailbox, mark_indexed
from satchel.gateway.store.messages import Arrival, record_arrivals
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, deliveries, delivery_attempts
from satchel.gateway.store.webhooks import (
    NewWebhook,
    UnknownWebhook,
    add_webhook,
    list_webhooks,
    remove_webhook,
    set_webhook_enabled,
)
from satchel.gateway.webhooks.decision import Decision, DeliveryStatus, Outcome
from satchel.gateway.webhooks.payload import message_event
from tests.unit.gateway.fakes import MAILBOX, MASTER_KEY, recorded_deliveries, ref, summary

AGAIN = Decision(DeliveryStatus.PENDING, "http_500", 5.0)


@pytest.fixture
def delivery(engine: sa.Engine) -> str:
    add_mailbox(engine, MAILBOX)
    mark_indexed(engine, DEFAULT_ACCOUNT_ID, None)
    add_webhook(engine, NewWebhook("w", "https://example.com/hook", [MAILBOX], secret="s" * 16), master_key=MASTER_KEY)
    record_arrivals(engine, DEFAULT_ACCOUNT_ID, [Arrival(ref("m"), summary(ref("m")))])
    return recorded_deliveries(engine)[0][0]


def begun(engine: sa.Engine, delivery: str, attempt: int) -> BegunAttempt:
    found = begin_attempt(engine, delivery, attempt)
    assert found is not None
    return found


def attempts(engine: sa.Engine) -> list[tuple[object, ...]]:
    columns = delivery_attempts.c
    with engine.connect() as connection:
        query = sa.select(columns.number, columns.status_code, columns.error, columns.finished_at.is_not(None))
        return [tuple(row) for row in connection.execute(query.order_by(columns.number))]


def status(engine: sa.Engine) -> tuple[object, ...]:
    columns = deliveries.c
    with engine.connect() as connection:
        row = connection.execute(sa.select(columns.status, columns.attempts, columns.next_attempt_at.is_(None))).one()
        return tuple(row)


def test_the_attempt_is_written_down_first(engine: sa.Engine, delivery: str) -> None:
    first = begun(engine, delivery, 1)
    assert (first.url, first.mailbox) == ("https://example.com/hook", MAILBOX)
    assert MASTER_KEY.unseal(first.sealed_secret or "", first.webhook_id) == "s" * 16
    assert attempts(engine) == [(1, None, None, False)]


def test_retries_and_the_end(engine: sa.Engine, delivery: str) -> None:
    due_at = finish_attempt(engine, begun(engine, delivery, 1), Outcome(500, b"oops"), AGAIN)
    assert due_at is not None
    assert due_at > datetime.now(UTC)
    later = due_at + timedelta(seconds=1)
    (pending,) = pending_deliveries(engine, due_before=later, limit=10)
    assert (pending.delivery_id, pending.attempt, pending.due_at) == (delivery, 2, due_at)
    assert pending_deliveries(engine, due_before=datetime.now(UTC), limit=10) == []
    done = finish_attempt(engine, begun(engine, delivery, 2), Outcome(200, b"{}"), Decision(DeliveryStatus.DELIVERED))
    assert done is None
    assert pending_deliveries(engine, due_before=later, limit=10) == []
    assert attempts(engine) == [(1, 500, "http_500", True), (2, 200, None, True)]
    assert status(engine) == ("delivered", 2, True)


def test_an_attempt_is_made_once(engine: sa.Engine, delivery: str) -> None:
    finish_attempt(engine, begun(engine, delivery, 1), Outcome(500), AGAIN)
    assert begin_attempt(engine, delivery, 1) is None
    assert begin_attempt(engine, delivery, 3) is None
    assert begin_attempt(engine, "unknown", 1) is None


def test_an_interrupted_attempt_does_not_count(engine: sa.Engine, delivery: str) -> None:
    begun(engine, delivery, 1)
    begun(engine, delivery, 1)
    assert attempts(engine) == [(1, None, "interrupted", True), (2, None, None, False)]
    assert status(engine) == ("pending", 0, False)


@pytest.mark.parametrize("how", ["disable", "remove"])
def test_a_webhook_that_is_off_cancels_what_waits(engine: sa.Engine, delivery: str, how: str) -> None:
    if how == "disable":
        assert not set_webhook_enabled(engine, "w", enabled=False).enabled
    else:
        remove_webhook(engine, "w")
        assert list_webhooks(engine) == []
    assert begin_attempt(engine, delivery, 1) is None
    assert status(engine)[0] == "cancelled"


def test_a_removed_webhook_forgets_its_secret(engine: sa.Engine, delivery: str) -> None:
    assert list_webhooks(engine)[0].has_secret
    remove_webhook(engine, "w")
    with engine.connect() as connection:
        assert connection.scalars(sa.text("SELECT sealed_secret FROM webhooks")).all() == [None]
    with pytest.raises(UnknownWebhook):
        remove_webhook(engine, "w")


@pytest.mark.parametrize("secret", ["", "with space", "line\nbreak", "ümlaut"])
def test_secrets_that_no_header_takes(engine: sa.Engine, secret: str) -> None:
    add_mailbox(engine, MAILBOX)
    with pytest.raises(ValueError, match="printable ASCII"):
        add_webhook(engine, NewWebhook("w", "https://e.com/", [MAILBOX], secret=secret))


def test_the_payload(engine: sa.Engine, delivery: str) -> None:
    event = message_event(begun(engine, delivery, 1).message, MAILBOX)
    body = msgspec.json.encode(event)
    assert msgspec.json.decode(body, type=MessageEvent) == event
    sent = msgspec.json.decode(body)
    assert sent.pop("timestamp").endswith("Z")
    ann = {"emailAddress": {"name": "Ann", "address": "ann@example.test"}}
    assert sent == {
        "id": "m",
        "event": "received",
        "internetMessageId": "<m@example.test>",
        "received": "2026-01-02T03:04:05Z",
        "mailbox": MAILBOX,
        "sender": ann,
        "from": ann,
        "to": [{"emailAddress": {"name": "", "address": MAILBOX}}],
        "cc": [],
        "subject": "Invoice",
        "hasAttachments": True,
        "conversationId": "c-1",
    }
