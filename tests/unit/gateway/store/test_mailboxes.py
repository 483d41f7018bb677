"""Mailboxes and what clients are told of them."""

import pytest
import sqlalchemy as sa

from satchel.gateway.store.audit import Acting, list_events
from satchel.gateway.store.mailboxes import UnknownMailbox, add_mailbox, change_mailbox
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID
from tests.unit.gateway.fakes import MAILBOX, OTHER_MAILBOX

ME = Acting(DEFAULT_ACCOUNT_ID, "cli:1000")


def changes(engine: sa.Engine) -> list[str]:
    return [event.action for event in list_events(engine) if event.action == "mailbox.changed"]


def test_what_is_given_is_changed_and_the_rest_stays(engine: sa.Engine) -> None:
    before = add_mailbox(engine, MAILBOX, name="Bills", time_zone="Europe/Berlin")
    add_mailbox(engine, OTHER_MAILBOX)
    after = change_mailbox(engine, "Invoices@Example.test", time_zone="America/Toronto", active=False, acting=ME)
    assert (after.mailbox_id, after.name) == (before.mailbox_id, "Bills")
    assert (after.time_zone, after.active) == ("America/Toronto", False)
    assert change_mailbox(engine, MAILBOX, name="Invoices", acting=ME).name == "Invoices"
    assert len(changes(engine)) == 2


def test_what_is_as_it_was_is_no_change(engine: sa.Engine) -> None:
    add_mailbox(engine, MAILBOX)
    change_mailbox(engine, MAILBOX, active=True, time_zone="UTC", acting=ME)
    change_mailbox(engine, MAILBOX, acting=ME)
    assert changes(engine) == []


@pytest.mark.parametrize(
    "name", ["Berlin", "", "Europe", "../../etc/passwd", "/etc/localtime", "UTC\0", "europe/berlin "]
)
def test_time_zones_are_those_that_there_are(engine: sa.Engine, name: str) -> None:
    add_mailbox(engine, MAILBOX)
    with pytest.raises(ValueError, match="write it like Europe/Berlin"):
        change_mailbox(engine, MAILBOX, time_zone=name)
    with pytest.raises(ValueError, match="write it like Europe/Berlin"):
        add_mailbox(engine, OTHER_MAILBOX, time_zone=name)


def test_a_mailbox_that_is_not_there_cannot_be_changed(engine: sa.Engine) -> None:
    with pytest.raises(UnknownMailbox):
        change_mailbox(engine, MAILBOX, name="x")
    add_mailbox(engine, MAILBOX)
    with pytest.raises(ValueError, match="empty"):
        change_mailbox(engine, MAILBOX, name="  ")
