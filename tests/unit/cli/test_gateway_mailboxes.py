"""Changing mailboxes and indexing their past from the command line."""

import json
import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from satchel.gateway.store.database import open_database
from tests.unit.cli.test_gateway import MAILBOX, Office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    office.config.write_text('[gateway]\ndata_dir = "data"\nfolder.path = "mail"\nfolder.settle_seconds = 0\n')
    return office


def put(office: Office, mailbox: str, *received: str) -> None:
    folder = office.config.parent / "mail" / mailbox
    folder.mkdir(parents=True, exist_ok=True)
    for number, moment in enumerate(received):
        file = folder / f"{number}.eml"
        file.write_bytes(b"Received: from a by b; %b\r\nSubject: x\r\n\r\nHi\r\n" % moment.encode())
        os.utime(file, (1_000_000_000, 1_000_000_000))


def count(office: Office) -> int:
    engine = open_database(office.config.parent / "data")
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT count(*) FROM messages")).scalar_one()
    engine.dispose()
    return int(found)


OLD, NEW = "Tue, 3 Jun 2025 10:00:00 +0000", "Tue, 6 Jan 2026 10:00:00 +0000"


def test_a_mailbox_is_changed(office: Office) -> None:
    office.good("gateway", "mailboxes", "add", MAILBOX)
    said = office.good(
        "gateway",
        "mailboxes",
        "change",
        MAILBOX,
        "--name",
        "Bi\x1b[2Jlls",
        "--time-zone",
        "Europe/Berlin",
        "--inactive",
    )
    assert "\x1b" not in said
    [row] = json.loads(office.good("gateway", "mailboxes", "list", "--json"))
    assert (row["name"], row["time_zone"], row["active"]) == ("Bi\x1b[2Jlls", "Europe/Berlin", False)
    assert "Europe/Berlin" in office.advice("gateway", "mailboxes", "change", MAILBOX, "--time-zone", "Mars")
    assert "Add it first" in office.advice("gateway", "mailboxes", "change", "x@example.com", "--active")


def test_the_past_is_indexed_and_counted(office: Office) -> None:
    put(office, MAILBOX, OLD, NEW)
    put(office, "other@example.com", NEW)
    result = office.run("gateway", "mailboxes", "index", "--since", "2026-01-01T00:00:00Z")
    assert (result.exit_code, result.stdout) == (0, "2 mailboxes read: 2 messages, 2 of them new to the index.\n")
    assert result.stderr.splitlines() == [f"{MAILBOX}: 1 messages, 1 new", "other@example.com: 1 messages, 1 new"]
    assert count(office) == 2
    again = office.good("gateway", "mailboxes", "index", "--since", "2025-01-01", "--mailbox", MAILBOX.upper())
    assert again == "1 mailboxes read: 2 messages, 1 of them new to the index.\n"


def test_what_cannot_be_is_said(office: Office) -> None:
    put(office, MAILBOX, OLD)
    words = ["gateway", "mailboxes", "index", "--since"]
    assert "write how long ago" in office.advice(*words, "yesterday")
    assert "No mail source has the mailbox nobody@example.com" in office.advice(
        *words, "7d", "--mailbox", "nobody@example.com"
    )
    assert "no account 'acme'" in office.advice(*words, "7d", "--account", "acme")


def test_a_mailbox_that_cannot_be_read_is_named_and_the_status_says_so(office: Office) -> None:
    result = office.run("gateway", "mailboxes", "index", "--since", "7d")
    assert result.exit_code == 1
    assert "1 could not be read to the end" in str(result.exception)
    assert "all mailboxes: The mail folder cannot be opened" in str(result.exception)
