"""Rules from the command line, and trying them on a message of the index."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from satchel.gateway.rules.conditions import AttachmentConditions, Conditions
from satchel.gateway.store.database import open_database
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.messages import Arrival, record_arrivals
from satchel.gateway.store.rules import RuleDraft, add_rule
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, messages, rules
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.mail.folder.source import FolderSource
from satchel.mail.source import MessageRef
from satchel.testing.content import Given
from satchel.testing.mail import deliver, file_part, message
from tests.unit.cli.test_gateway import HOOK, MAILBOX, Office

RULES = ("gateway", "rules")


def furnished(folder: Path) -> Office:
    """A mailbox, a webhook that goes by rules, and one that is told of everything."""
    office = Office(folder)
    office.config.write_text('[gateway]\ndata_dir = "data"\nfolder.path = "mail"\n')
    (folder / "mail").mkdir()
    engine = open_database(folder / "data")
    add_mailbox(engine, MAILBOX)
    add_webhook(engine, NewWebhook("hook", HOOK, [MAILBOX], by_rules=True))
    add_webhook(engine, NewWebhook("archive", HOOK, [MAILBOX]))
    engine.dispose()
    return office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return furnished(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """For cases that do not disturb each other."""
    office = furnished(tmp_path_factory.mktemp("shared"))
    add(office, "there", "--stop")
    return office


def add(office: Office, name: str, *options: str) -> None:
    office.good(*RULES, "add", name, "--mailbox", MAILBOX, *options)


def shown(office: Office, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(office.good(*RULES, "show", name, "--json"))
    return found


def test_a_rule_with_everything(office: Office) -> None:
    add(
        office,
        "Bills",
        *("--from", "@supplier.example", "--from", "ann@example.net", "--to", "@*.example.com"),
        *("--subject", "invoice", "--subject-regex", r"^\d", "--attachments"),
        *("--attachment-kind", ".pdf", "--attachment-min-bytes", "10", "--attachment-max-bytes", "99", "--inline-too"),
        *("--webhook", "hook", "--field", "queue=a=b", "--field", "n=", "--stop"),
    )
    row = shown(office, "Bills")
    assert row["conditions"] == {
        "senders": ["@supplier.example", "ann@example.net"],
        "recipients": ["@*.example.com"],
        "subject_contains": ["invoice"],
        "subject_regex": r"^\d",
        "has_attachments": True,
        "attachments": {"kinds": [".pdf"], "min_bytes": 10, "max_bytes": 99, "with_inline": True},
    }
    assert (row["custom_fields"], row["stop"], row["enabled"]) == ({"queue": "a=b", "n": ""}, True, True)
    text = office.good(*RULES, "show", "Bills")
    for words in ("from @supplier.example or ann@example.net", "to @*.example.com", "'invoice'", "queue=a=b", "hook"):
        assert words in text
    assert "an attachment is .pdf, of 10 bytes or more, of 99 bytes at most" in office.good(*RULES, "list")


def test_rules_are_listed_in_their_order_and_moved(office: Office) -> None:
    assert "rules add" in office.good(*RULES, "list")
    for name in ("one", "two", "three"):
        add(office, name, "--stop")
    assert "number 1" in office.good(*RULES, "move", "three", "--to-position", "1")
    listed = json.loads(office.good(*RULES, "list", "--json", "--mailbox", MAILBOX))
    assert [(row["position"], row["name"]) for row in listed] == [(1, "three"), (2, "one"), (3, "two")]
    office.good(*RULES, "disable", "one")
    assert not shown(office, "one")["enabled"]
    office.good(*RULES, "enable", "one")
    office.good(*RULES, "remove", "three")
    assert [row["name"] for row in json.loads(office.good(*RULES, "list", "--json"))] == ["one", "two"]
    assert "any message" in office.good(*RULES, "list")


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (("--name", "other"), "name", "other"),
        (("--subject", "x"), "conditions", {"subject_contains": ["x"]}),
        (("--always",), "conditions", {}),
        (("--field", "b=2"), "custom_fields", {"b": "2"}),
        (("--no-fields",), "custom_fields", {}),
        (("--no-webhook", "--no-fields"), "webhook", None),
        (("--go-on",), "stop", False),
    ],
)
def test_what_is_named_is_changed(shared: Office, options: tuple[str, ...], field: str, value: object) -> None:
    add(shared, "r", "--from", "@a.example", "--webhook", "hook", "--field", "a=1", "--stop")
    before = shown(shared, "r")
    shared.good(*RULES, "change", before["rule_id"], *options)
    after = shown(shared, before["rule_id"])
    shared.good(*RULES, "remove", before["rule_id"])
    assert after[field] == value
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {field, "custom_fields", "webhook_id"}


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("add", "r", "--mailbox", MAILBOX), "do nothing"),
        (("add", "r", "--mailbox", MAILBOX, "--webhook", "archive"), "--by-rules"),
        (("add", "r", "--mailbox", MAILBOX, "--webhook", "hook", "--from", "example"), "@*.example.com"),
        (("add", "r", "--mailbox", MAILBOX, "--stop", "--subject-regex", "(a"), "missing )"),
        (("add", "r", "--mailbox", MAILBOX, "--webhook", "hook", "--field", "x"), "queue=invoices"),
        (("add", "r", "--mailbox", "nobody@example.com", "--stop"), "mailboxes add"),
        (("change", "there"), "what is to be different"),
        (("change", "there", "--always", "--subject", "x"), "leave it out"),
        (("change", "there", "--webhook", "hook", "--no-webhook"), "leave one out"),
        (("change", "there", "--field", "a=1", "--no-fields"), "leave one out"),
        (("show", "nobody"), "rules list"),
        (("test", "--message", "nothing"), "no message"),
    ],
)
def test_what_is_refused_says_what_to_do(shared: Office, words: tuple[str, ...], advice: str) -> None:
    assert advice in shared.advice(*RULES, *words).replace("\n", " ").replace("│", "")


def test_what_is_logged_meanwhile_is_no_part_of_what_is_printed(
    shared: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def logging(*_: object) -> list[object]:
        structlog.get_logger().warning("something_to_know")
        return []

    monkeypatch.setattr("satchel.gateway.store.rules.list_rules", logging)
    result = shared.run(*RULES, "list", "--json")
    assert result.stdout == "[]\n"
    assert "something_to_know" in result.stderr


class Tried:
    """A message in the folder and in the index."""

    def __init__(self, office: Office, message_id: str, engine: sa.Engine) -> None:
        self.message_id = message_id
        self._office = office
        self._engine = engine

    def trial(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._office.good(*RULES, "test", "--message", self.message_id, "--json"))
        return found

    def add(self, name: str, conditions: Conditions | None = None, webhook: str | None = None, **more: Any) -> None:
        add_rule(self._engine, MAILBOX, RuleDraft(name, conditions or Conditions(), webhook, **more))

    def make_rule_unreadable(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.update(rules).values(conditions={"by_a_later_version": True}))

    def make_unreadable(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.update(messages).values(readable=False))


@pytest.fixture
async def tried(office: Office, tmp_path: Path) -> Any:
    pdf = file_part("secret name.pdf", "application/pdf", Given(b"%PDF-1.4"))
    deliver(tmp_path / "mail" / MAILBOX, message("bill", "Invoice of June", [pdf]))
    source = FolderSource(tmp_path / "mail", settle_seconds=0.0)
    found: list[MessageRef] = []
    async for batch in source.watch():
        found.extend(batch.messages)
        if batch.ends_first_pass:
            break
    described = await source.describe(found[0])
    await source.aclose()
    engine = open_database(tmp_path / "data")
    record_arrivals(engine, DEFAULT_ACCOUNT_ID, [Arrival(described.ref, described, is_baseline=True)])
    yield Tried(office, described.ref.message_id, engine)
    engine.dispose()


def test_a_trial_says_what_each_rule_does_and_who_is_told(office: Office, tried: Tried) -> None:
    tried.add("off", webhook="hook", stop=True)
    office.good(*RULES, "disable", "off")
    tried.add("zip", Conditions(attachments=AttachmentConditions((".zip",))), "hook")
    tried.add(
        "pdf",
        Conditions(senders=("@supplier.example",), attachments=AttachmentConditions((".pdf",))),
        "hook",
        custom_fields={"a": "1"},
    )
    tried.add("again", webhook="hook")
    tried.add("end", Conditions(subject_contains=("INVOICE",)), stop=True)
    tried.add("never", webhook="hook")
    trial = tried.trial()
    assert [(rule["name"], rule["outcome"]) for rule in trial["rules"]] == [
        ("off", "off"),
        ("zip", "does_not_hold"),
        ("pdf", "fires"),
        ("again", "repeats"),
        ("end", "stops"),
        ("never", "not_tried"),
    ]
    assert [rule["stopped_here"] for rule in trial["rules"]] == [False, False, False, False, True, False]
    told = {each["name"]: each for each in trial["webhooks"]}
    assert told["hook"]["custom_fields"] == {"a": "1"}
    assert told["hook"]["rule_id"] == trial["rules"][2]["rule_id"]
    assert told["archive"]["rule_id"] is None
    text = office.good(*RULES, "test", "--message", tried.message_id)
    assert "3. pdf fires" in text
    assert "None of its attachments (1) is .zip." in text
    assert "hook, by rule pdf a=1" in text
    assert "archive, of everything" in text
    assert "secret name" not in text
    assert "June" not in text


def test_a_trial_knows_of_pauses_and_what_is_off(office: Office, tried: Tried) -> None:
    tried.add("r", webhook="hook")
    office.good("gateway", "webhooks", "pause", "hook")
    office.good("gateway", "webhooks", "disable", "archive")
    trial = tried.trial()
    assert [(each["name"], each["waits"]) for each in trial["webhooks"]] == [("hook", True)]
    assert trial["webhooks_off"] == ["archive"]
    office.good("gateway", "webhooks", "disable", "hook")
    text = office.good(*RULES, "test", "--message", tried.message_id)
    assert "No webhook would be told." in text
    assert "hook would be told, but is off." in text


def test_a_rule_that_cannot_be_read_is_shown_as_such_and_json_stays_json(office: Office, tried: Tried) -> None:
    tried.add("later", webhook="hook")
    tried.make_rule_unreadable()
    assert [rule["outcome"] for rule in tried.trial()["rules"]] == ["unreadable"]
    assert [row["conditions"] for row in json.loads(office.good(*RULES, "list", "--json"))] == [None]
    assert "name them anew" in office.good(*RULES, "show", "later")
    office.good(*RULES, "change", "later", "--always")
    assert [rule["outcome"] for rule in tried.trial()["rules"]] == ["fires"]


def test_the_source_is_asked_only_where_a_rule_needs_it(office: Office, tried: Tried, tmp_path: Path) -> None:
    tried.add("r", Conditions(subject_contains=("invoice",)), "hook")
    for mail in (tmp_path / "mail" / MAILBOX).glob("*/*"):
        mail.unlink()
    assert tried.trial()["note"] is None
    tried.add("pdf", Conditions(attachments=AttachmentConditions((".pdf",))), stop=True)
    trial = tried.trial()
    assert "cannot be read" in trial["note"]
    assert [rule["outcome"] for rule in trial["rules"]] == ["fires", "does_not_hold"]


def test_a_message_without_an_envelope_is_told_to_nobody(office: Office, tried: Tried) -> None:
    tried.make_unreadable()
    assert "never announced" in office.advice(*RULES, "test", "--message", tried.message_id)
