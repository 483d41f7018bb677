"""The audit trail: what is written by which act, and what is found in it."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from satchel.contract.scopes import Scope
from satchel.gateway.audit.actions import Action
from satchel.gateway.store.accounts import register_accounts
from satchel.gateway.store.audit import Acting, RefusedCalls, list_events, record_calls
from satchel.gateway.store.keys import UnknownKey, create_key, list_keys, revoke_key
from satchel.gateway.store.mailboxes import UnknownMailbox, add_mailbox
from satchel.gateway.store.messages import Arrival, record_arrivals
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, audit_events
from satchel.gateway.store.webhook_changes import remove_webhook, set_webhook_enabled
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from tests.unit.gateway.fakes import MAILBOX, MASTER_KEY, OTHER_MAILBOX, ref, summary

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ME = Acting(DEFAULT_ACCOUNT_ID, "cli:1000")


def told(engine: sa.Engine) -> list[tuple[str, str]]:
    return [(event.actor, event.action) for event in list_events(engine)]


def make_key(engine: sa.Engine) -> str:
    expires_at = datetime.now(UTC) + timedelta(days=1)
    _, row = create_key(engine, "secret name", scopes=[*Scope], mailboxes=[MAILBOX], expires_at=expires_at, acting=ME)
    return row.key_id


def add_hook(engine: sa.Engine) -> str:
    return add_webhook(
        engine, NewWebhook("hook name", "https://e.com/x", [MAILBOX], secret="s" * 16), master_key=MASTER_KEY, acting=ME
    ).webhook_id


def refused(key_id: str | None, reason: str, count: int = 1) -> RefusedCalls:
    return RefusedCalls(key_id, DEFAULT_ACCOUNT_ID if key_id else None, "/route", reason, 404, "request-1", count)


def test_every_act_is_told_once_with_ids_and_nothing_else(engine: sa.Engine) -> None:
    register_accounts(engine, ["acme"], actor=ME.actor)
    box = add_mailbox(engine, MAILBOX, name="box name", acting=ME)
    add_mailbox(engine, MAILBOX, acting=ME)
    key_id = make_key(engine)
    for _ in range(2):
        revoke_key(engine, key_id, actor=ME.actor)
    hook = add_hook(engine)
    for enabled in (True, False, False, True):
        set_webhook_enabled(engine, hook, enabled=enabled, actor=ME.actor)
    remove_webhook(engine, hook, actor=ME.actor)
    events = list_events(engine)
    assert [event.action for event in events] == [
        "account.added",
        "mailbox.added",
        "key.created",
        "key.revoked",
        "webhook.added",
        "webhook.disabled",
        "webhook.enabled",
        "webhook.removed",
    ]
    assert {event.actor for event in events} == {"cli:1000"}
    subjects = [event.subject_id for event in events]
    assert subjects[1:] == [box.mailbox_id, key_id, key_id, hook, hook, hook, hook]
    assert [event.account for event in events] == ["acme"] + ["default"] * 7
    with engine.connect() as connection:
        stored = repr(connection.execute(sa.select(audit_events)).all())
    for hidden in (MAILBOX, "name", "e.com", "ssss", "satchel_"):
        assert hidden not in stored


def test_a_mailbox_that_the_gateway_finds_by_itself(engine: sa.Engine) -> None:
    record_arrivals(engine, DEFAULT_ACCOUNT_ID, [Arrival(ref("m"), summary(ref("m"))), Arrival(ref("n"), None)])
    record_arrivals(engine, DEFAULT_ACCOUNT_ID, [Arrival(ref("o"), None)])
    assert told(engine) == [("gateway", "mailbox.added")]


def test_an_act_that_fails_is_not_told(engine: sa.Engine) -> None:
    with pytest.raises(UnknownMailbox):
        make_key(engine)
    with pytest.raises(UnknownKey):
        revoke_key(engine, "satchel_nobody", actor=ME.actor)
    assert told(engine) == []


def test_who_made_what_stays_with_it(engine: sa.Engine) -> None:
    assert add_mailbox(engine, MAILBOX, acting=ME).created_by == "cli:1000"
    make_key(engine)
    add_hook(engine)
    assert [row.created_by for row in list_keys(engine)] == ["cli:1000"]


def test_what_is_asked_of_the_trail(engine: sa.Engine) -> None:
    acme = register_accounts(engine, ["acme"], actor=ME.actor)["acme"]
    add_mailbox(engine, MAILBOX, acting=ME)
    add_mailbox(engine, OTHER_MAILBOX, acting=Acting(acme, ME.actor))
    key_id = make_key(engine)
    record_calls(engine, [refused(key_id, "not_found", 7), refused(None, "key_missing")], {}, datetime.now(UTC))
    [by_key] = list_events(engine, action=Action.CALL_REFUSED, key_id=key_id)
    assert (by_key.actor, by_key.reason, by_key.count, by_key.status) == (f"key:{key_id}", "not_found", 7, 404)
    assert (by_key.route, by_key.request_id, by_key.account) == ("/route", "request-1", "default")
    assert [event.action for event in list_events(engine, key_id=key_id)] == ["key.created", "call.refused"]
    assert [event.action for event in list_events(engine, account_id=acme)] == ["account.added", "mailbox.added"]
    assert [event.actor for event in list_events(engine, limit=2)] == [f"key:{key_id}", "unknown"]
    assert list_events(engine, since=datetime.now(UTC) + timedelta(hours=1)) == []


def test_last_use_never_goes_back(engine: sa.Engine) -> None:
    add_mailbox(engine, MAILBOX)
    key_id = make_key(engine)
    assert list_keys(engine)[0].last_used_at is None
    for minutes in (5, 3):
        record_calls(engine, [], {key_id: NOW + timedelta(minutes=minutes)}, NOW)
    assert list_keys(engine)[0].last_used_at == NOW + timedelta(minutes=5)


def test_ids_of_events_are_never_used_again(engine: sa.Engine) -> None:
    record_calls(engine, [refused(None, "a"), refused(None, "b")], {}, NOW)
    last = list_events(engine)[-1].event_id
    with engine.begin() as connection:
        connection.execute(sa.delete(audit_events))
    record_calls(engine, [refused(None, "c")], {}, NOW)
    assert list_events(engine)[0].event_id > last
