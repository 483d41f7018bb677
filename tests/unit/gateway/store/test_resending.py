"""Deliveries that are sent again: which can be, and what becomes of them."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from satchel.gateway.store import resending
from satchel.gateway.store.accounts import register_accounts
from satchel.gateway.store.audit import Acting, list_events
from satchel.gateway.store.history import Asked, UnknownDelivery, find_delivery
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.resending import (
    CannotResend,
    Undelivered,
    count_undelivered,
    resend,
    resend_undelivered,
)
from satchel.gateway.store.webhook_changes import (
    Changes,
    change_webhook,
    pause_webhook,
    remove_webhook,
    set_webhook_enabled,
)
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.gateway.webhooks.decision import DeliveryStatus
from tests.unit.gateway.fakes import MAILBOX, OTHER_MAILBOX
from tests.unit.gateway.store.past import LONG_AGO, attempted, delivered, statuses

ENDED = (DeliveryStatus.DELIVERED, DeliveryStatus.REJECTED, DeliveryStatus.FAILED, DeliveryStatus.CANCELLED)


def add(engine: sa.Engine, name: str = "w", acting: Acting | None = None) -> str:
    who = acting or Acting()
    for address in (MAILBOX, OTHER_MAILBOX):
        add_mailbox(engine, address, acting=who)
    return add_webhook(
        engine, NewWebhook(name, "https://example.com/", [MAILBOX, OTHER_MAILBOX]), acting=who
    ).webhook_id


@pytest.fixture
def hook(engine: sa.Engine) -> str:
    return add(engine)


def told(engine: sa.Engine) -> list[tuple[str, str | None]]:
    return [(event.actor, event.subject_id) for event in list_events(engine, action="delivery.resent")]


@pytest.mark.parametrize("status", ENDED)
def test_whatever_became_of_it_it_is_due_again_with_its_history(
    engine: sa.Engine, hook: str, status: DeliveryStatus
) -> None:
    delivery = delivered(engine, hook, "m", status=status, attempts=3)
    attempted(engine, delivery, 1, error="timeout")
    before = datetime.now(UTC)
    [row] = resend(engine, [delivery], account_id=None, actor="cli:7")
    assert (row.delivery_id, row.status, row.attempts, row.finished_at) == (delivery, DeliveryStatus.PENDING, 0, None)
    assert row.next_attempt_at is not None
    assert before <= row.next_attempt_at <= datetime.now(UTC)
    assert [attempt.error for attempt in find_delivery(engine, delivery).attempts] == ["timeout"]
    assert told(engine) == [("cli:7", delivery)]


def test_one_that_waits_for_hours_need_not(engine: sa.Engine, hook: str) -> None:
    later = datetime.now(UTC) + timedelta(hours=9)
    waiting = delivered(engine, hook, "m", status=DeliveryStatus.PENDING, attempts=5, next_attempt_at=later)
    [row] = resend(engine, [waiting, waiting], account_id=None, actor="cli:7")
    assert row.next_attempt_at is not None
    assert row.next_attempt_at < later - timedelta(hours=8)
    assert told(engine) == [("cli:7", waiting)]


def test_of_a_paused_webhook_it_waits(engine: sa.Engine, hook: str) -> None:
    delivery = delivered(engine, hook, "m")
    pause_webhook(engine, "w", "works")
    [row] = resend(engine, [delivery], account_id=None, actor="cli:7")
    assert (row.status, row.webhook_paused) == (DeliveryStatus.PENDING, True)


def test_what_cannot_be_sent_says_why_and_nothing_is(engine: sa.Engine, hook: str) -> None:
    good = delivered(engine, hook, "good")
    gone, off = add(engine, "gone"), add(engine, "off")
    refused = {
        delivered(engine, gone, "gone"): "was removed",
        delivered(engine, off, "off"): f"satchel gateway webhooks enable {off}",
        delivered(engine, hook, "lost", mailbox=OTHER_MAILBOX): f"--add-mailbox {OTHER_MAILBOX}",
    }
    remove_webhook(engine, "gone")
    set_webhook_enabled(engine, "off", enabled=False)
    change_webhook(engine, "w", Changes(remove_mailboxes=[OTHER_MAILBOX]))
    before = statuses(engine)
    for delivery, advice in refused.items():
        with pytest.raises(CannotResend, match=advice):
            resend(engine, [good, delivery], account_id=None, actor="cli:7")
    with pytest.raises(UnknownDelivery):
        resend(engine, [good, "none"], account_id=None, actor="cli:7")
    assert (statuses(engine), told(engine)) == (before, [])


def test_another_account_s_is_unknown(engine: sa.Engine, hook: str) -> None:
    delivery = delivered(engine, hook, "m")
    acme = register_accounts(engine, ["acme"], actor="cli:0")["acme"]
    with pytest.raises(UnknownDelivery):
        resend(engine, [delivery], account_id=acme, actor="cli:7")


def test_all_that_failed_are_sent_again(engine: sa.Engine, hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resending, "_BATCH", 2)
    since = LONG_AGO + timedelta(hours=1)
    statuses_before = {f"{status}-{number}": status for status in ENDED for number in range(3)}
    for name, status in statuses_before.items():
        delivered(engine, hook, name, status=status, created_at=LONG_AGO, finished_at=since)
    early = delivered(engine, hook, "early", status=DeliveryStatus.FAILED, created_at=LONG_AGO)
    off = add(engine, "off")
    delivered(engine, off, "off", status=DeliveryStatus.FAILED, created_at=LONG_AGO, finished_at=since)
    set_webhook_enabled(engine, "off", enabled=False)
    lost = {"status": DeliveryStatus.FAILED, "created_at": LONG_AGO, "finished_at": since, "mailbox": OTHER_MAILBOX}
    delivered(engine, hook, "lost", **lost)
    change_webhook(engine, "w", Changes(remove_mailboxes=[OTHER_MAILBOX]))
    asked = Asked(finished_since=since)
    assert count_undelivered(engine, asked) == Undelivered(sendable=6, others=2)
    assert resend_undelivered(engine, asked, actor="cli:7") == 6
    found = statuses(engine)
    assert {name for name, status in found.items() if status == "pending"} == {
        f"delivery-{status}-{number}" for status in ("failed", "rejected") for number in range(3)
    }
    assert (found[early], found["delivery-off"], len(told(engine))) == ("failed", "failed", 6)
    assert count_undelivered(engine, asked) == Undelivered(sendable=0, others=2)


def test_what_fails_again_meanwhile_is_not_sent_a_second_time(
    engine: sa.Engine, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resending, "_BATCH", 2)
    for number in range(4):
        delivered(engine, hook, str(number), status=DeliveryStatus.REJECTED)

    def reject(connection: sa.Connection, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT INTO audit_events"):
            now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            set_ = f"status = 'rejected', finished_at = '{now}'"
            connection.exec_driver_sql(f"UPDATE deliveries SET {set_} WHERE status = 'pending'")

    sa.event.listen(engine, "before_cursor_execute", reject)
    assert resend_undelivered(engine, Asked(finished_since=LONG_AGO), actor="cli:7") == 4
    assert len(told(engine)) == 4


def test_each_act_is_told_in_its_own_account(engine: sa.Engine, hook: str) -> None:
    acme = register_accounts(engine, ["acme"], actor="cli:0")["acme"]
    theirs = add(engine, "theirs", Acting(acme))
    ids = [delivered(engine, hook, "a"), delivered(engine, theirs, "b")]
    resend(engine, ids, account_id=None, actor="cli:7")
    events = list_events(engine, action="delivery.resent")
    assert {(event.account, event.subject_id) for event in events} == {("default", ids[0]), ("acme", ids[1])}
