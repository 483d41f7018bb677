"""Accounts, what a key shows of itself, and the audit trail on the command line."""

import json
import os
from pathlib import Path

import pytest

from tests.unit.cli.test_gateway import HOOK, MAILBOX, Office

ME = f"cli:{os.getuid()}"


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    office.config.write_text('[gateway.accounts.acme]\nfolder.path = "mail-acme"\nrate_limit_per_minute = 0\n')
    return office


def create_key(office: Office, *more: str) -> str:
    words = ("--mailbox", MAILBOX, "--scope", "messages:read", "--expires", "90d")
    return office.good("gateway", "keys", "create", "it", *words, *more).strip()


def short_identifiers(office: Office, *more: str) -> list[str]:
    rows = json.loads(office.good("gateway", "keys", "list", "--json", *more))
    return [row["short_identifier"] for row in rows]


def test_accounts_are_those_of_the_settings_and_those_that_were(office: Office) -> None:
    office.good("gateway", "mailboxes", "add", MAILBOX, "--account", "acme")
    rows = json.loads(office.good("gateway", "accounts", "list", "--json"))
    assert [(row["name"], row["served"], row["mailboxes"]) for row in rows] == [("default", True, 0), ("acme", True, 1)]
    assert rows[1]["folder"] == str(office.config.parent / "mail-acme")
    assert [row["rate_limit_per_minute"] for row in rows] == [100, 0]
    office.config.write_text("[gateway]\n")
    shown = office.good("gateway", "accounts", "list")
    assert "not in the settings" in shown
    assert [row["served"] for row in json.loads(office.good("gateway", "accounts", "list", "--json"))] == [True, False]


def test_everything_is_added_to_the_account_that_is_named(office: Office) -> None:
    office.good("gateway", "mailboxes", "add", MAILBOX, "--account", "acme")
    assert "satchel gateway mailboxes add" in office.advice(
        "gateway", "webhooks", "add", "w", HOOK, "--mailbox", MAILBOX
    )
    create_key(office, "--account", "acme")
    office.good("gateway", "webhooks", "add", "w", HOOK, "--mailbox", MAILBOX, "--account", "acme")
    for group in ("mailboxes", "keys", "webhooks"):
        for words, count in (((), 1), (("--account", "acme"), 1), (("--account", "default"), 0)):
            rows = json.loads(office.good("gateway", group, "list", "--json", *words))
            assert [row["account"] for row in rows] == ["acme"] * count
        assert "ACCOUNT" in office.good("gateway", group, "list")


def test_who_has_one_account_sees_nothing_of_accounts(office: Office) -> None:
    office.config.write_text("[gateway]\n")
    office.good("gateway", "mailboxes", "add", MAILBOX)
    create_key(office)
    for words in (("mailboxes", "list"), ("keys", "list"), ("audit",)):
        shown = office.good("gateway", *words)
        assert "ACCOUNT" not in shown
        assert "default" not in shown


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("mailboxes", "add", MAILBOX, "--account", "amce"), "[gateway.accounts.amce]"),
        (("keys", "list", "--account", "amce"), "satchel gateway accounts list"),
        (("audit", "--since", "long"), "as in 90d"),
        (("audit", "--key", "satchel_none"), "satchel gateway keys list"),
        (("audit", "--action", "all"), "key.created"),
    ],
)
def test_what_is_not_there_is_advised(office: Office, words: tuple[str, ...], advice: str) -> None:
    assert advice in office.advice("gateway", *words)


def test_a_key_shows_all_but_itself(office: Office) -> None:
    office.good("gateway", "mailboxes", "add", MAILBOX)
    key = create_key(office)
    [short] = short_identifiers(office)
    shown = office.good("gateway", "keys", "show", short)
    row = json.loads(office.good("gateway", "keys", "show", short, "--json"))
    assert key not in shown
    assert (row["created_by"], row["last_used_at"], row["revoked_at"], row["account"]) == (ME, None, None, "default")
    for fact in (row["key_id"], ME, "usable", "messages:read", MAILBOX):
        assert fact in shown
    office.good("gateway", "keys", "revoke", row["key_id"], "--account", "default")
    assert "revoked" in office.good("gateway", "keys", "show", short)
    assert "satchel gateway keys list" in office.advice("gateway", "keys", "show", short, "--account", "acme")


def test_the_trail_tells_who_did_what(office: Office) -> None:
    office.good("gateway", "mailboxes", "add", MAILBOX)
    create_key(office)
    create_key(office)
    short, other = short_identifiers(office)
    office.good("gateway", "keys", "revoke", short)
    events = json.loads(office.good("gateway", "audit", "--json"))
    told = [(event["actor"], event["account"], event["action"]) for event in events]
    assert told == [
        (ME, "acme", "account.added"),
        (ME, "default", "mailbox.added"),
        (ME, "default", "key.created"),
        (ME, "default", "key.created"),
        (ME, "default", "key.revoked"),
    ]
    for words, actions in (
        (("--account", "acme"), ["account.added"]),
        (("--action", "key.created", "--limit", "1"), ["key.created"]),
        (("--key", other), ["key.created"]),
        (("--key", short, "--since", "1h"), ["key.created", "key.revoked"]),
        (("--action", "call.refused"), []),
    ):
        found = json.loads(office.good("gateway", "audit", "--json", *words))
        assert [event["action"] for event in found] == actions, words
    shown = office.good("gateway", "audit")
    assert shown.index("mailbox.added") < shown.index("key.revoked")
    assert MAILBOX not in shown
    assert "Nothing in the last 24h" in office.good("gateway", "audit", "--action", "call.refused")
