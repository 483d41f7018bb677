"""Accounts in the store: rows by name, and nothing of one that can be named or found from another."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from satchel.contract.scopes import Scope
from satchel.gateway.access import hash_key
from satchel.gateway.store.accounts import UnknownAccount, find_account, list_accounts, register_accounts
from satchel.gateway.store.audit import Acting
from satchel.gateway.store.calls import find_calls
from satchel.gateway.store.database import open_database
from satchel.gateway.store.keys import UnknownKey, create_key, find_key, list_keys, revoke_key
from satchel.gateway.store.mailboxes import (
    UnknownMailbox,
    add_mailbox,
    indexed_addresses,
    list_mailboxes,
    mark_indexed,
    register_mailboxes,
)
from satchel.gateway.store.messages import Arrival, delivery_id, known_message_ids, record_arrivals
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, messages
from satchel.gateway.store.webhook_changes import remove_webhook, set_webhook_enabled
from satchel.gateway.store.webhooks import NewWebhook, UnknownWebhook, add_webhook, list_webhooks
from tests.unit.gateway.fakes import MAILBOX, OTHER_MAILBOX, recorded_deliveries, ref, summary

URL = "https://example.com/"


@pytest.fixture
def acme(engine: sa.Engine) -> str:
    return register_accounts(engine, ["acme"], actor="cli:0")["acme"]


def make_key(engine: sa.Engine, account_id: str, *mailboxes: str) -> str:
    expires_at = datetime.now(UTC) + timedelta(days=1)
    wanted = mailboxes or (MAILBOX,)
    return create_key(
        engine, "k", scopes=list(Scope), mailboxes=wanted, expires_at=expires_at, acting=Acting(account_id)
    )[0]


def test_an_account_gets_its_row_once(engine: sa.Engine, acme: str) -> None:
    again = register_accounts(engine, ["default", "acme"], actor="cli:0")
    assert again == {"default": DEFAULT_ACCOUNT_ID, "acme": acme}
    assert [row.name for row in list_accounts(engine)] == ["default", "acme"]
    assert find_account(engine, "acme") == acme
    with pytest.raises(UnknownAccount, match="accounts list"):
        find_account(engine, "other")


def test_two_processes_that_make_an_account_make_one(engine: sa.Engine, tmp_path: Path) -> None:
    other = open_database(tmp_path / "data")
    theirs: dict[str, str] = {}

    def interfere(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("INSERT INTO accounts") and not theirs:
            theirs["acme"] = ""
            theirs.update(register_accounts(other, ["acme"], actor="cli:0"))

    sa.event.listen(engine, "before_cursor_execute", interfere)
    mine = register_accounts(engine, ["acme"], actor="cli:0")
    other.dispose()
    assert mine == theirs


def test_two_accounts_may_have_a_mailbox_of_one_address(engine: sa.Engine, acme: str) -> None:
    first = add_mailbox(engine, MAILBOX, name="Ours")
    second = add_mailbox(engine, MAILBOX, name="Theirs", acting=Acting(acme))
    register_mailboxes(engine, acme, [MAILBOX, OTHER_MAILBOX])
    assert first.mailbox_id != second.mailbox_id
    assert [(row.account, row.address, row.name) for row in list_mailboxes(engine)] == [
        ("acme", OTHER_MAILBOX, OTHER_MAILBOX),
        ("default", MAILBOX, "Ours"),
        ("acme", MAILBOX, "Theirs"),
    ]
    assert [row.mailbox_id for row in list_mailboxes(engine, DEFAULT_ACCOUNT_ID)] == [first.mailbox_id]


def test_keys_and_webhooks_name_mailboxes_of_their_own_account_only(engine: sa.Engine, acme: str) -> None:
    add_mailbox(engine, OTHER_MAILBOX, acting=Acting(acme))
    with pytest.raises(UnknownMailbox):
        make_key(engine, DEFAULT_ACCOUNT_ID, OTHER_MAILBOX)
    with pytest.raises(UnknownMailbox):
        add_webhook(engine, NewWebhook("w", URL, [OTHER_MAILBOX]))
    assert list_keys(engine) == list_webhooks(engine) == []


def test_baselines_end_by_account(engine: sa.Engine, acme: str) -> None:
    for account_id in (DEFAULT_ACCOUNT_ID, acme):
        add_mailbox(engine, MAILBOX, acting=Acting(account_id))
    mark_indexed(engine, acme, None)
    assert indexed_addresses(engine, acme) == {MAILBOX}
    assert indexed_addresses(engine, DEFAULT_ACCOUNT_ID) == frozenset()


def test_a_message_of_one_id_is_known_and_announced_in_each_account_apart(engine: sa.Engine, acme: str) -> None:
    hooks = {}
    for account_id in (DEFAULT_ACCOUNT_ID, acme):
        add_mailbox(engine, MAILBOX, acting=Acting(account_id))
        hook = add_webhook(engine, NewWebhook("w", URL, [MAILBOX]), acting=Acting(account_id))
        hooks[account_id] = delivery_id(hook.webhook_id, "m")
    arrival = Arrival(ref("m"), summary(ref("m")))
    acme_lanes = record_arrivals(engine, acme, [arrival])
    assert recorded_deliveries(engine) == [(hooks[acme], lane) for lane in acme_lanes]
    assert known_message_ids(engine, acme, ["m"]) == {"m"}
    assert known_message_ids(engine, DEFAULT_ACCOUNT_ID, ["m"]) == frozenset()
    lanes = record_arrivals(engine, DEFAULT_ACCOUNT_ID, [arrival])
    assert recorded_deliveries(engine)[1:] == [(hooks[DEFAULT_ACCOUNT_ID], lane) for lane in lanes]


def test_an_envelope_that_is_read_late_is_written_in_its_own_account(engine: sa.Engine, acme: str) -> None:
    for account_id in (DEFAULT_ACCOUNT_ID, acme):
        record_arrivals(engine, account_id, [Arrival(ref("m"), None)])
    record_arrivals(engine, acme, [Arrival(ref("m"), summary(ref("m"), subject="Theirs"))])
    with engine.connect() as connection:
        query = sa.select(messages.c.subject, messages.c.readable).order_by(messages.c.id)
        assert connection.execute(query).all() == [("", False), ("Theirs", True)]


def test_a_key_finds_messages_of_its_own_account_only(engine: sa.Engine, acme: str) -> None:
    keys = {}
    for account_id in (DEFAULT_ACCOUNT_ID, acme):
        add_mailbox(engine, MAILBOX, acting=Acting(account_id))
        keys[account_id] = hash_key(make_key(engine, account_id))
    record_arrivals(engine, acme, [Arrival(ref("theirs"), summary(ref("theirs")), is_baseline=True)])
    for account_id in (DEFAULT_ACCOUNT_ID, acme):
        shared = ref(f"shared-{account_id}")
        record_arrivals(
            engine, account_id, [Arrival(type(shared)(MAILBOX, "shared", shared.locator), None, is_baseline=True)]
        )
    [(record, message)] = find_calls(engine, [(keys[DEFAULT_ACCOUNT_ID], "theirs")])
    assert record is not None
    assert (record.account_id, message) == (DEFAULT_ACCOUNT_ID, None)
    for account_id, key_hash in keys.items():
        [(record, message)] = find_calls(engine, [(key_hash, "shared")])
        assert record is not None
        assert message is not None
        assert (record.account_id, message.locator) == (account_id, f"file-of-shared-{account_id}")


def test_what_is_named_in_one_account_is_not_found_in_another(engine: sa.Engine, acme: str) -> None:
    add_mailbox(engine, MAILBOX)
    make_key(engine, DEFAULT_ACCOUNT_ID)
    add_webhook(engine, NewWebhook("w", URL, [MAILBOX]))
    [key] = list_keys(engine, DEFAULT_ACCOUNT_ID)
    assert list_keys(engine, acme) == list_webhooks(engine, acme) == []
    assert find_key(engine, key.short_identifier) == find_key(engine, key.key_id, DEFAULT_ACCOUNT_ID) == key
    for refused in (find_key, revoke_key):
        arguments: dict[str, Any] = {"account_id": acme}
        with pytest.raises(UnknownKey):
            refused(engine, key.key_id, **arguments)
    with pytest.raises(UnknownWebhook):
        set_webhook_enabled(engine, "w", enabled=False, account_id=acme)
    with pytest.raises(UnknownWebhook):
        remove_webhook(engine, "w", account_id=acme)
    assert [row.enabled for row in list_webhooks(engine)] == [True]
