"""What webhooks are added with, and what of them can be changed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from satchel.gateway.addresses import parse_networks
from satchel.gateway.store.accounts import register_accounts
from satchel.gateway.store.audit import Acting, list_events
from satchel.gateway.store.mailboxes import UnknownMailbox, add_mailbox
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, rules, webhooks
from satchel.gateway.store.webhook_changes import (
    Changes,
    WebhookInUse,
    change_webhook,
    pause_webhook,
    remove_webhook,
    resume_webhook,
    set_webhook_enabled,
)
from satchel.gateway.store.webhooks import (
    NewWebhook,
    UnknownWebhook,
    WebhookRow,
    add_webhook,
    find_webhook,
    list_webhooks,
)
from satchel.gateway.webhooks.decision import DeliveryStatus
from satchel.gateway.webhooks.egress import EgressPolicy, RefusedEndpoint
from satchel.gateway.webhooks.schedule import Schedule
from tests.unit.gateway.fakes import MAILBOX, MASTER_KEY, OTHER_MAILBOX
from tests.unit.gateway.store.past import LONG_AGO, attempted, delivered, statuses

URL = "https://example.com/hook"


@pytest.fixture
def hook(engine: sa.Engine) -> WebhookRow:
    add_mailbox(engine, MAILBOX)
    add_mailbox(engine, OTHER_MAILBOX)
    return add_webhook(engine, NewWebhook("w", URL, [MAILBOX], secret="s" * 16), master_key=MASTER_KEY)


def add_rule(engine: sa.Engine, webhook_id: str, address: str) -> None:
    box = add_mailbox(engine, address)
    row = {
        "id": f"rule-{address}",
        "account_id": DEFAULT_ACCOUNT_ID,
        "mailbox_id": box.mailbox_id,
        "name": "rule",
        "position": 1,
        "conditions": {},
        "webhook_id": webhook_id,
        "custom_fields": {},
        "stop": False,
        "enabled": True,
        "created_at": LONG_AGO,
    }
    with engine.begin() as connection:
        connection.execute(sa.insert(rules), [row])


def acts(engine: sa.Engine) -> list[str]:
    return [event.action for event in list_events(engine) if event.subject_kind == "webhook"]


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "https://[::1]/", "https://192.168.1.1:8443/hook"])
def test_an_address_that_every_delivery_would_be_refused_for_is_refused_at_once(engine: sa.Engine, url: str) -> None:
    add_mailbox(engine, MAILBOX)
    with pytest.raises(RefusedEndpoint, match="allowed_networks"):
        add_webhook(engine, NewWebhook("w", url, [MAILBOX]))
    assert list_webhooks(engine) == []
    policy = EgressPolicy(allowed_networks=parse_networks(["0.0.0.0/0", "::/0"]))
    add_webhook(engine, NewWebhook("w", url, [MAILBOX]), policy=policy)
    assert [row.url for row in list_webhooks(engine)] == [url]


def test_a_public_address_is_as_good_as_a_name(engine: sa.Engine) -> None:
    add_mailbox(engine, MAILBOX)
    assert add_webhook(engine, NewWebhook("w", "https://8.8.8.8/", [MAILBOX])).enabled


def test_what_it_is_added_with_is_what_is_shown(engine: sa.Engine) -> None:
    add_mailbox(engine, MAILBOX)
    new = NewWebhook(
        " w ",
        URL,
        [MAILBOX],
        secret="s" * 16,
        by_rules=True,
        include_text=True,
        include_custom_fields=False,
        schedule=Schedule.LONG,
        max_in_flight=4,
    )
    row = add_webhook(engine, new, master_key=MASTER_KEY, acting=Acting(actor="cli:7"))
    assert row == find_webhook(engine, "w") == find_webhook(engine, row.webhook_id, DEFAULT_ACCOUNT_ID)
    told = replace(row, webhook_id="", created_at=LONG_AGO)
    assert told == WebhookRow(
        webhook_id="",
        account="default",
        name="w",
        url=URL,
        has_secret=True,
        has_next_secret=False,
        mailboxes=(MAILBOX,),
        enabled=True,
        by_rules=True,
        include_text=True,
        include_custom_fields=False,
        schedule=Schedule.LONG,
        max_in_flight=4,
        failing_since=None,
        failed_attempts=0,
        paused_at=None,
        pause_note=None,
        created_at=LONG_AGO,
        created_by="cli:7",
    )


@pytest.mark.parametrize("new", [NewWebhook(" ", URL, [MAILBOX]), NewWebhook("w", URL, [])])
def test_a_webhook_without_a_name_or_a_mailbox_is_none(engine: sa.Engine, new: NewWebhook) -> None:
    add_mailbox(engine, MAILBOX)
    with pytest.raises(ValueError, match="a name and at least one mailbox"):
        add_webhook(engine, new)


def test_everything_can_be_changed_and_is_told_once(engine: sa.Engine, hook: WebhookRow) -> None:
    changes = Changes(
        name="new",
        url="https://example.com/new",
        add_mailboxes=[OTHER_MAILBOX],
        remove_mailboxes=[MAILBOX],
        by_rules=True,
        include_text=True,
        include_custom_fields=False,
        schedule=Schedule.LONG,
        max_in_flight=3,
    )
    changed = change_webhook(engine, "w", changes, actor="cli:7")
    expected = replace(
        hook,
        name="new",
        url="https://example.com/new",
        mailboxes=(OTHER_MAILBOX,),
        by_rules=True,
        include_text=True,
        include_custom_fields=False,
        schedule=Schedule.LONG,
        max_in_flight=3,
    )
    assert changed == find_webhook(engine, "new") == expected
    assert acts(engine) == ["webhook.added", "webhook.changed"]
    assert list_events(engine)[-1].actor == "cli:7"


def test_what_is_as_it_was_already_is_no_change(engine: sa.Engine, hook: WebhookRow) -> None:
    same = Changes(name="w", url=URL, add_mailboxes=[MAILBOX], remove_mailboxes=[OTHER_MAILBOX], max_in_flight=1)
    assert change_webhook(engine, "w", same) == change_webhook(engine, "w", Changes()) == hook
    assert acts(engine) == ["webhook.added"]


@pytest.mark.parametrize(
    ("changes", "refusal", "advice"),
    [
        (Changes(url="http://example.com/"), RefusedEndpoint, "https"),
        (Changes(url="https://127.0.0.1/"), RefusedEndpoint, "allowed_networks"),
        (Changes(name=" "), ValueError, "needs a name"),
        (Changes(add_mailboxes=["nobody@example.test"]), UnknownMailbox, "satchel gateway mailboxes add"),
        (Changes(remove_mailboxes=[MAILBOX]), ValueError, "at least one mailbox"),
    ],
)
def test_what_cannot_be_changes_nothing(
    engine: sa.Engine, hook: WebhookRow, changes: Changes, refusal: type[Exception], advice: str
) -> None:
    with pytest.raises(refusal, match=advice):
        change_webhook(engine, "w", replace(changes, include_text=True))
    assert find_webhook(engine, "w") == hook
    assert acts(engine) == ["webhook.added"]


def test_a_mailbox_of_another_account_is_none(engine: sa.Engine, hook: WebhookRow) -> None:
    acme = register_accounts(engine, ["acme"], actor="cli:0")["acme"]
    add_mailbox(engine, "only@acme.test", acting=Acting(acme))
    with pytest.raises(UnknownMailbox):
        change_webhook(engine, hook.webhook_id, Changes(add_mailboxes=["only@acme.test"]))
    with pytest.raises(UnknownWebhook):
        change_webhook(engine, "w", Changes(include_text=True), account_id=acme)


def test_what_waits_of_a_mailbox_that_is_taken_away_is_cancelled(engine: sa.Engine, hook: WebhookRow) -> None:
    change_webhook(engine, "w", Changes(add_mailboxes=[OTHER_MAILBOX]))
    lost = delivered(engine, hook.webhook_id, "a", status=DeliveryStatus.PENDING)
    kept = delivered(engine, hook.webhook_id, "b", status=DeliveryStatus.PENDING, mailbox=OTHER_MAILBOX)
    done = delivered(engine, hook.webhook_id, "c")
    change_webhook(engine, "w", Changes(remove_mailboxes=[MAILBOX]))
    assert statuses(engine) == {lost: "cancelled", kept: "pending", done: "delivered"}


def test_switched_off_it_is_told_nothing_of_what_waited(engine: sa.Engine, hook: WebhookRow) -> None:
    waiting = delivered(engine, hook.webhook_id, "a", status=DeliveryStatus.PENDING)
    attempted(engine, waiting, 1, ended=False)
    done = delivered(engine, hook.webhook_id, "b", status=DeliveryStatus.FAILED)
    set_webhook_enabled(engine, "w", enabled=False)
    assert statuses(engine) == {waiting: "cancelled", done: "failed"}
    with engine.connect() as connection:
        error = connection.exec_driver_sql("SELECT error FROM delivery_attempts").scalar_one()
    assert error == "interrupted"
    set_webhook_enabled(engine, "w", enabled=True)
    assert statuses(engine) == {waiting: "cancelled", done: "failed"}


@pytest.mark.parametrize("change", [Changes(by_rules=False), Changes(remove_mailboxes=[MAILBOX])])
def test_what_rules_need_stays_while_they_are_there(engine: sa.Engine, hook: WebhookRow, change: Changes) -> None:
    change_webhook(engine, "w", Changes(by_rules=True, add_mailboxes=[OTHER_MAILBOX]))
    add_rule(engine, hook.webhook_id, MAILBOX)
    for refused in (lambda: change_webhook(engine, "w", change), lambda: remove_webhook(engine, "w")):
        with pytest.raises(WebhookInUse, match="satchel gateway rules list"):
            refused()
    assert change_webhook(engine, "w", Changes(remove_mailboxes=[OTHER_MAILBOX])).mailboxes == (MAILBOX,)


def test_a_pause_keeps_its_first_note_and_what_waits(engine: sa.Engine, hook: WebhookRow) -> None:
    later = datetime.now(UTC) + timedelta(hours=9)
    waiting = delivered(engine, hook.webhook_id, "a", status=DeliveryStatus.PENDING, next_attempt_at=later)
    for note in ("for works on the receiver", "another"):
        paused = pause_webhook(engine, "w", note, actor="cli:7")
    assert (paused.pause_note, paused.paused_at is not None) == ("for works on the receiver", True)
    assert statuses(engine) == {waiting: "pending"}
    with engine.begin() as connection:
        connection.execute(sa.update(webhooks).values(failing_since=LONG_AGO, failed_attempts=12))
    for _ in range(2):
        assert resume_webhook(engine, "w", actor="cli:7") == hook
    assert acts(engine) == ["webhook.added", "webhook.paused", "webhook.resumed"]
    with engine.connect() as connection:
        due_at = connection.exec_driver_sql("SELECT next_attempt_at FROM deliveries").scalar_one()
    assert datetime.fromisoformat(due_at).replace(tzinfo=UTC) < later - timedelta(hours=8)
