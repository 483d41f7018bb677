"""Rules in the store: which are taken, in which order they stand, and what is written down of it."""

from typing import Any

import pytest
import sqlalchemy as sa

from satchel.gateway.rules.conditions import AttachmentConditions, Conditions
from satchel.gateway.store.accounts import register_accounts
from satchel.gateway.store.audit import Acting, list_events
from satchel.gateway.store.mailboxes import UnknownMailbox, add_mailbox
from satchel.gateway.store.rules import (
    RuleDraft,
    UnknownRule,
    add_rule,
    change_rule,
    find_rule,
    list_rules,
    move_rule,
    remove_rule,
    rules_in_force,
    set_rule_enabled,
)
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, rules
from satchel.gateway.store.webhooks import NewWebhook, UnknownWebhook, add_webhook
from tests.unit.gateway.fakes import MAILBOX, OTHER_MAILBOX

URL = "https://example.com/hook"
FULL = Conditions(
    senders=("@example.com",),
    subject_contains=("invoice",),
    subject_regex="^x",
    attachments=AttachmentConditions((".pdf",), min_bytes=1),
)


@pytest.fixture(autouse=True)
def webhook(engine: sa.Engine) -> str:
    """One that rules may fire, called w; another is told of everything."""
    for mailbox in (MAILBOX, OTHER_MAILBOX):
        add_mailbox(engine, mailbox)
    add_webhook(engine, NewWebhook("everything", URL, [MAILBOX]))
    return add_webhook(engine, NewWebhook("w", URL, [MAILBOX], by_rules=True)).webhook_id


def names(engine: sa.Engine, mailbox: str = MAILBOX) -> list[tuple[int, str]]:
    return [(row.position, row.name) for row in list_rules(engine, mailbox=mailbox)]


def test_a_rule_comes_back_as_it_was_added(engine: sa.Engine, webhook: str) -> None:
    draft = RuleDraft("Bills", FULL, "w", {"queue": "invoices"}, stop=True)
    row = add_rule(engine, MAILBOX.upper(), draft, acting=Acting(DEFAULT_ACCOUNT_ID, "cli:1"))
    assert (row.mailbox, row.name, row.position, row.webhook, row.webhook_id) == (MAILBOX, "Bills", 1, "w", webhook)
    assert (row.conditions, row.custom_fields, row.stop, row.enabled) == (FULL, {"queue": "invoices"}, True, True)
    assert row == find_rule(engine, "Bills") == find_rule(engine, row.rule_id, DEFAULT_ACCOUNT_ID)
    assert row.created_by == "cli:1"
    (in_force,) = rules_in_force(engine, DEFAULT_ACCOUNT_ID, [MAILBOX])[MAILBOX]
    assert (in_force.rule_id, in_force.conditions, in_force.webhook_id) == (row.rule_id, FULL, webhook)
    assert (in_force.custom_fields, in_force.stop) == ({"queue": "invoices"}, True)


@pytest.mark.parametrize(
    ("draft", "advice"),
    [
        (RuleDraft("r"), "do nothing"),
        (RuleDraft(" ", webhook="w"), "name"),
        (RuleDraft("r" * 201, webhook="w"), "name"),
        (RuleDraft("r", webhook="everything"), "--by-rules"),
        (RuleDraft("r", webhook="nobody"), "webhooks list"),
        (RuleDraft("r", custom_fields={"a": "b"}, stop=True), "custom fields"),
        (RuleDraft("r", webhook="w", custom_fields={"": "b"}), "custom field"),
        (RuleDraft("r", webhook="w", custom_fields={"a\nb": "b"}), "custom field"),
        (RuleDraft("r", webhook="w", custom_fields={"a": "b" * 2_001}), "2,000"),
        (RuleDraft("r", webhook="w", custom_fields={str(n): "" for n in range(51)}), "50"),
        (RuleDraft("r\udcff", webhook="w"), "name"),
        (RuleDraft("r", webhook="w", custom_fields={"a": "b\udcff"}), "no Unicode"),
        (RuleDraft("r", Conditions(subject_contains=("\udcff",)), "w"), "no Unicode"),
        (RuleDraft("r", Conditions(senders=("\udcff@example.com",)), "w"), "no Unicode"),
        (RuleDraft("r", Conditions(attachments=AttachmentConditions((".\udcff",))), "w"), "no Unicode"),
        (RuleDraft("r", Conditions(attachments=AttachmentConditions(min_bytes=2**63)), "w"), "min_bytes"),
        (RuleDraft("r", Conditions(senders=("@example.com",) * 201), "w"), "senders"),
        (RuleDraft("r", Conditions(subject_contains=("x" * 501,)), "w"), "subject_contains"),
    ],
)
def test_what_could_do_nothing_or_not_be_read_again_is_refused(
    engine: sa.Engine, draft: RuleDraft, advice: str
) -> None:
    with pytest.raises((ValueError, UnknownWebhook), match=advice):
        add_rule(engine, MAILBOX, draft)
    assert list_rules(engine) == []


def test_a_rule_is_for_mailboxes_of_its_webhook_and_account(engine: sa.Engine) -> None:
    with pytest.raises(ValueError, match="--add-mailbox"):
        add_rule(engine, OTHER_MAILBOX, RuleDraft("r", webhook="w"))
    with pytest.raises(UnknownMailbox):
        add_rule(engine, "nobody@example.test", RuleDraft("r", stop=True))
    acme = register_accounts(engine, ["acme"], actor="cli:1")["acme"]
    add_mailbox(engine, MAILBOX, acting=Acting(acme))
    with pytest.raises(UnknownWebhook):
        add_rule(engine, MAILBOX, RuleDraft("r", webhook="w"), acting=Acting(acme))
    add_rule(engine, MAILBOX, RuleDraft("r", stop=True), acting=Acting(acme))
    assert rules_in_force(engine, DEFAULT_ACCOUNT_ID, [MAILBOX]) == {}
    assert [row.account for row in list_rules(engine, acme)] == ["acme"]


def test_rules_stand_in_the_order_that_they_are_given(engine: sa.Engine) -> None:
    for name in "abcd":
        add_rule(engine, MAILBOX, RuleDraft(name, stop=True))
    add_rule(engine, OTHER_MAILBOX, RuleDraft("other", stop=True))
    assert names(engine) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
    assert move_rule(engine, "d", 2).position == 2
    assert move_rule(engine, "a", 99).position == 4
    assert move_rule(engine, "c", -5).position == 1
    assert names(engine) == [(1, "c"), (2, "d"), (3, "b"), (4, "a")]
    remove_rule(engine, "d")
    assert names(engine) == [(1, "c"), (2, "b"), (3, "a")]
    assert names(engine, OTHER_MAILBOX) == [(1, "other")]
    ordered = rules_in_force(engine, DEFAULT_ACCOUNT_ID, [MAILBOX, OTHER_MAILBOX])
    assert [find_rule(engine, rule.rule_id).name for rule in ordered[MAILBOX]] == ["c", "b", "a"]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"conditions": Conditions()},
        {"webhook": None, "custom_fields": {}},
        {"custom_fields": {"b": "2"}},
        {"webhook": "w", "stop": False},
    ],
)
def test_what_is_named_is_changed_and_nothing_else(engine: sa.Engine, webhook: str, changes: dict[str, Any]) -> None:
    before = add_rule(engine, MAILBOX, RuleDraft("r", FULL, "w", {"a": "1"}, stop=True))
    after = change_rule(engine, "r", changes)
    wanted = {"name": "r", "conditions": FULL, "webhook": "w", "custom_fields": {"a": "1"}, "stop": True} | changes
    assert {name: getattr(after, name) for name in wanted} == wanted
    assert (after.rule_id, after.position) == (before.rule_id, before.position)


def test_a_change_is_refused_as_a_new_rule_would_be(engine: sa.Engine) -> None:
    add_rule(engine, MAILBOX, RuleDraft("r", FULL, "w", {"a": "1"}))
    for changes in ({"webhook": None}, {"webhook": "everything"}, {"name": ""}):
        with pytest.raises(ValueError):
            change_rule(engine, "r", changes)
    assert find_rule(engine, "r").webhook == "w"


def test_a_rule_that_is_off_is_not_tried(engine: sa.Engine) -> None:
    add_rule(engine, MAILBOX, RuleDraft("r", stop=True))
    assert not set_rule_enabled(engine, "r", enabled=False).enabled
    assert rules_in_force(engine, DEFAULT_ACCOUNT_ID, [MAILBOX]) == {}
    set_rule_enabled(engine, "r", enabled=True)
    set_rule_enabled(engine, "r", enabled=True)
    assert len(rules_in_force(engine, DEFAULT_ACCOUNT_ID, [MAILBOX])[MAILBOX]) == 1


def test_each_act_is_in_the_audit_trail(engine: sa.Engine) -> None:
    rule_id = add_rule(engine, MAILBOX, RuleDraft("r", stop=True)).rule_id
    change_rule(engine, "r", {"name": "s"}, actor="cli:7")
    move_rule(engine, "s", 1, actor="cli:7")
    set_rule_enabled(engine, "s", enabled=False, actor="cli:7")
    remove_rule(engine, "s", actor="cli:7")
    events = [event for event in list_events(engine) if event.subject_kind == "rule"]
    assert [(event.action, event.subject_id) for event in events] == [
        ("rule.added", rule_id),
        *[("rule.changed", rule_id)] * 3,
        ("rule.removed", rule_id),
    ]
    assert {event.actor for event in events[1:]} == {"cli:7"}


def test_unknown_and_ambiguous_names(engine: sa.Engine) -> None:
    for mailbox in (MAILBOX, OTHER_MAILBOX):
        add_rule(engine, mailbox, RuleDraft("twin", stop=True))
    for name in ("nobody", "twin"):
        with pytest.raises(UnknownRule, match="rules list"):
            remove_rule(engine, name)


def test_a_mailbox_has_only_so_many_rules(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("satchel.gateway.store.rules._MAX_RULES", 2)
    for number in range(2):
        add_rule(engine, MAILBOX, RuleDraft(str(number), stop=True))
    with pytest.raises(ValueError, match="2 rules at most"):
        add_rule(engine, MAILBOX, RuleDraft("one more", stop=True))
    add_rule(engine, OTHER_MAILBOX, RuleDraft("of another", stop=True))


def test_one_rule_that_cannot_be_read_keeps_no_other_from_firing(engine: sa.Engine) -> None:
    for name in "ab":
        add_rule(engine, MAILBOX, RuleDraft(name, stop=True))
    with engine.begin() as connection:
        connection.execute(sa.update(rules).where(rules.c.name == "a").values(conditions={"of": "tomorrow"}))
    assert len(rules_in_force(engine, DEFAULT_ACCOUNT_ID, [MAILBOX])[MAILBOX]) == 1
    assert find_rule(engine, "a").conditions is None
    with pytest.raises(ValueError, match="anew"):
        change_rule(engine, "a", {"name": "c"})
    assert change_rule(engine, "a", {"conditions": FULL}).conditions == FULL
