from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from satchel.contract.scopes import Scope
from satchel.gateway.access import hash_key, is_well_formed, short_identifier
from satchel.gateway.store.calls import find_calls
from satchel.gateway.store.keys import UnknownKey, create_key, list_keys, revoke_key
from satchel.gateway.store.mailboxes import UnknownMailbox, add_mailbox, normal_address

MAILBOX = "Invoices@Example.test"
SCOPES = [Scope.MESSAGES_READ, Scope.MESSAGES_CONTENT]


def test_a_key_is_stored_as_its_hash_only(engine: sa.Engine) -> None:
    add_mailbox(engine, MAILBOX)
    expires_at = datetime.now(UTC) + timedelta(days=90)
    key, row = create_key(engine, " ERP ", scopes=SCOPES, mailboxes=[MAILBOX], expires_at=expires_at)
    assert is_well_formed(key)
    assert row.short_identifier == short_identifier(key)
    assert (row.name, row.scopes, row.mailboxes) == ("ERP", ("messages:content", "messages:read"), (MAILBOX.lower(),))
    assert row.expires_at == expires_at
    assert list(list_keys(engine)) == [row]
    with engine.connect() as connection:
        for table in connection.scalars(sa.text("SELECT name FROM sqlite_master WHERE type = 'table'")).all():
            for stored in connection.execute(sa.text(f"SELECT * FROM {table}")):
                assert key not in repr(stored)
    [(record, message)] = find_calls(engine, [(hash_key(key), "m")])
    assert record is not None
    assert (record.scopes, record.expires_at, message) == (frozenset(SCOPES), expires_at, None)


@pytest.mark.parametrize(
    ("name", "scopes", "mailboxes", "days"),
    [("", SCOPES, [MAILBOX], 1), ("k", [], [MAILBOX], 1), ("k", SCOPES, [], 1), ("k", SCOPES, [MAILBOX], -1)],
)
def test_keys_of_no_use(engine: sa.Engine, name: str, scopes: list[Scope], mailboxes: list[str], days: int) -> None:
    add_mailbox(engine, MAILBOX)
    with pytest.raises(ValueError):
        create_key(
            engine, name, scopes=scopes, mailboxes=mailboxes, expires_at=datetime.now(UTC) + timedelta(days=days)
        )
    assert list_keys(engine) == []


def test_a_key_needs_mailboxes_that_exist(engine: sa.Engine) -> None:
    with pytest.raises(UnknownMailbox, match=r"mailboxes add nobody@example\.test"):
        create_key(engine, "k", scopes=SCOPES, mailboxes=["nobody@example.test"], expires_at=None)
    assert list_keys(engine) == []


def test_revoking(engine: sa.Engine) -> None:
    add_mailbox(engine, MAILBOX)
    _, first = create_key(engine, "a", scopes=SCOPES, mailboxes=[MAILBOX], expires_at=None)
    _, second = create_key(engine, "b", scopes=SCOPES, mailboxes=[MAILBOX], expires_at=None)
    revoked = revoke_key(engine, first.short_identifier)
    assert revoked.revoked_at is not None
    assert revoke_key(engine, first.key_id).revoked_at == revoked.revoked_at
    now = datetime.now(UTC)
    assert [row.is_usable(now) for row in list_keys(engine)] == [False, True]
    assert second.is_usable(now)
    with pytest.raises(UnknownKey):
        revoke_key(engine, "satchel_nobody")


@pytest.mark.parametrize("address", ["", "x", "@x", "x@", "a b@x", "../x@y", "a@b/c", "a@b\0", "a\n@b"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ValueError):
        normal_address(address)


def test_a_mailbox_is_added_once(engine: sa.Engine) -> None:
    first = add_mailbox(engine, MAILBOX, name="Invoices")
    again = add_mailbox(engine, f" {MAILBOX.upper()} ")
    assert (again.mailbox_id, again.name) == (first.mailbox_id, "Invoices")
