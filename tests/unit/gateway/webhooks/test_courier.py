"""What an attempt carries, and what it does where the mail server does not give the text."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from satchel.contract.events import MessageEvent
from satchel.gateway.store.attempts import BegunAttempt, Finished, TextWanted
from satchel.gateway.store.database import Store
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, deliveries
from satchel.gateway.webhooks.courier import Courier, CourierOptions
from satchel.gateway.webhooks.decision import DeliveryStatus
from satchel.gateway.webhooks.payload import message_event
from satchel.mail.source import MessageNotFound, SourceUnavailable
from tests.unit.gateway.fakes import MAILBOX
from tests.unit.gateway.store.lane import OneLane, make_lane, rows_of
from tests.unit.gateway.webhooks.crew import AT_ONCE, MemoryReceiver, MemoryTexts


class Desk:
    """A lane and a courier for it, driven one attempt at a time."""

    def __init__(self, engine: sa.Engine, store: Store, **hook: Any) -> None:
        self.lane: OneLane = make_lane(engine, "m", **hook)
        self.receiver, self.texts = MemoryReceiver(), MemoryTexts()
        options = CourierOptions(max_text_characters=50, jitter=lambda: 0.0)
        self.courier = Courier(store, self.receiver, self.texts, AT_ONCE, options)

    async def attempt(self) -> Finished | None:
        step = self.lane.ask().step
        assert isinstance(step, BegunAttempt | TextWanted)
        return await self.courier.attempt(self.lane.lane, self.lane.run, step)

    def sent(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.receiver.posts[-1].body)
        return found


async def test_the_body_is_the_contracts(engine: sa.Engine, store: Store) -> None:
    desk = Desk(engine, store)
    finished = await desk.attempt()
    assert finished is not None
    assert finished.decision.status is DeliveryStatus.DELIVERED
    event = message_event(finished.begun.message, MAILBOX)
    assert msgspec.json.decode(desk.receiver.posts[0].body, type=MessageEvent) == event
    sent = desk.sent()
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


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({"team": "AP", "level": 2}, {"team": "AP", "level": 2}), ({}, None), (None, None)],
)
async def test_custom_fields_are_there_where_there_are_values(
    engine: sa.Engine, store: Store, fields: object, expected: object
) -> None:
    desk = Desk(engine, store)
    with engine.begin() as connection:
        connection.execute(sa.update(deliveries).values(custom_fields=fields))
    await desk.attempt()
    assert desk.sent().get("customFields") == expected
    assert ("customFields" in desk.sent()) is (expected is not None)


@pytest.mark.parametrize("text", ["Dear all", "", None])
async def test_the_text_goes_where_the_webhook_has_it(engine: sa.Engine, store: Store, text: str | None) -> None:
    desk = Desk(engine, store, include_text=True)
    desk.texts.texts["m"] = text
    assert await desk.attempt() is not None
    assert desk.texts.asked == [(DEFAULT_ACCOUNT_ID, "m", 50)]
    assert desk.sent().get("bodyText") == text
    assert ("bodyText" in desk.sent()) is (text is not None)


async def test_without_that_nobody_is_asked_for_it(engine: sa.Engine, store: Store) -> None:
    desk = Desk(engine, store)
    desk.texts.texts["m"] = "Dear all"
    await desk.attempt()
    assert (desk.texts.asked, "bodyText" in desk.sent()) == ([], False)


async def test_what_no_waiting_mends_goes_without_text(engine: sa.Engine, store: Store) -> None:
    desk = Desk(engine, store, include_text=True)
    desk.texts.texts["m"] = MessageNotFound("gone")
    assert await desk.attempt() is not None
    assert "bodyText" not in desk.sent()


async def test_a_message_that_nobody_can_read_is_told_of_without_text(engine: sa.Engine, store: Store) -> None:
    """A defect of ours must not keep what comes behind in its lane from being delivered."""
    desk = Desk(engine, store, include_text=True)
    desk.texts.texts["m"] = RecursionError("so many divs")
    with capture_logs() as logs:
        assert await desk.attempt() is not None
    assert "bodyText" not in desk.sent()
    assert [entry["error"] for entry in logs if entry["event"] == "delivery_defect"] == ["RecursionError"]
    assert "divs" not in str(logs)


@pytest.mark.parametrize("text", ["Dear all", SourceUnavailable("not just now")])
async def test_trouble_of_the_database_begins_nothing(
    engine: sa.Engine, store: Store, text: str | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(engine, store, include_text=True)
    desk.texts.texts["m"] = text

    async def refuse(*_: object) -> None:
        raise sa.exc.OperationalError("", None, OSError("disk full"))

    with monkeypatch.context() as trouble:
        trouble.setattr(store, "call", refuse)
        assert await desk.attempt() is None
    assert (desk.receiver.posts, desk.lane.attempts()) == ([], [])
    desk.texts.texts["m"] = "Dear all"
    assert await desk.attempt() is not None


async def test_trouble_of_the_mail_server_postpones_for_an_hour_at_most(engine: sa.Engine, store: Store) -> None:
    desk = Desk(engine, store, include_text=True)
    desk.texts.texts["m"] = SourceUnavailable("not just now", retry_after_seconds=42)
    assert await desk.attempt() is None
    assert (desk.receiver.posts, desk.lane.attempts(), desk.lane.statuses()) == ([], [], ["pending"])
    [(attempts, since, until)] = rows_of(engine, deliveries, "attempts", "text_missing_since", "next_attempt_at")
    assert attempts == 0
    assert until - since == timedelta(seconds=42)  # type: ignore[operator]
    desk.lane.pass_seconds(60)
    assert await desk.attempt() is None
    assert rows_of(engine, deliveries, "text_missing_since") == [(since,)]
    with engine.begin() as connection:
        earlier = since - timedelta(hours=1)  # type: ignore[operator]
        connection.execute(sa.update(deliveries).values(text_missing_since=earlier, next_attempt_at=earlier))
    finished = await desk.attempt()
    assert finished is not None
    assert (finished.begun.attempt, "bodyText" in desk.sent()) == (1, False)


async def test_each_attempt_says_the_same_under_the_same_id(engine: sa.Engine, store: Store) -> None:
    desk = Desk(engine, store, include_text=True)
    desk.texts.texts["m"] = "Dear all"
    for _ in range(2):
        assert await desk.attempt() is not None
    first, second = desk.receiver.posts
    assert (first.body, first.webhook_id) == (second.body, second.webhook_id) == (first.body, desk.lane.id_of("m"))
    assert first.secrets == ("s" * 16,)
