"""Webhooks, their secrets and the master key on the command line."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from satchel.contract.signing import signing_key
from satchel.gateway.sealing import new_master_key
from tests.unit.cli.test_gateway import HOOK, MAILBOX, MASTER_KEY, Office

OTHER_MAILBOX = "board@example.com"
SECRET = "a-secret-of-some-length"
NEXT = "the-next-one-of-some-length"
ME = f"cli:{os.getuid()}"
ADD = ("gateway", "webhooks", "add", "files", HOOK, "--mailbox", MAILBOX)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    for mailbox in (MAILBOX, OTHER_MAILBOX):
        office.good("gateway", "mailboxes", "add", mailbox)
    return office


@pytest.fixture
def hook(office: Office) -> str:
    """The id of a webhook with a secret."""
    office.good(*ADD, environment={"SATCHEL_WEBHOOK_SECRET": SECRET})
    found: str = shown(office)["webhook_id"]
    return found


def webhooks(office: Office, *words: str, **environment: str) -> str:
    return office.good("gateway", "webhooks", *words, environment=environment)


def shown(office: Office) -> Any:
    return json.loads(webhooks(office, "show", "files", "--json"))


def acts(office: Office) -> list[str]:
    events = json.loads(office.good("gateway", "audit", "--json"))
    assert {event["actor"] for event in events} == {ME}
    return [event["action"] for event in events if event["subject_kind"] == "webhook"]


def written(office: Office) -> bytes:
    return b"".join(path.read_bytes() for path in (office.config.parent / "data").rglob("*") if path.is_file())


def test_a_webhook_lives_its_life(office: Office, hook: str) -> None:
    [row] = json.loads(webhooks(office, "list", "--json"))
    assert (row["name"], row["url"], row["has_secret"], row["enabled"]) == ("files", HOOK, True, True)
    webhooks(office, "disable", "files")
    assert " off " in webhooks(office, "list")
    webhooks(office, "enable", hook)
    webhooks(office, "pause", "files", "--note", "for works")
    assert " paused " in webhooks(office, "list")
    assert "paused (for works)" in webhooks(office, "enable", "files")
    webhooks(office, "resume", "files")
    assert " on " in webhooks(office, "list")
    webhooks(office, "remove", "files")
    assert json.loads(webhooks(office, "list", "--json")) == []
    done = ("added", "disabled", "enabled", "paused", "resumed", "removed")
    assert acts(office) == [f"webhook.{act}" for act in done]


def test_a_webhook_must_be_https(office: Office, hook: str) -> None:
    for url in ("http://files.example.com/", "ftp://files.example.com/", "files.example.com", "https:///x"):
        assert "https" in office.advice("gateway", "webhooks", "add", "more", url, "--mailbox", MAILBOX)
        assert "https" in office.advice("gateway", "webhooks", "change", "files", "--url", url)
    office.config.write_text("[gateway]\nwebhooks.allow_http = true\n")
    webhooks(office, "change", "files", "--url", "http://files.example.com/")


def test_it_is_shown_with_all_that_it_was_added_with(office: Office) -> None:
    options = ("--by-rules", "--text", "--no-custom-fields", "--schedule", "long", "--max-in-flight", "4")
    result = office.run(*ADD, *options)
    assert "satchel gateway rules add" in result.stderr
    row = shown(office)
    names = ("by_rules", "include_text", "include_custom_fields", "schedule", "max_in_flight", "created_by")
    assert [row[name] for name in names] == [True, True, False, "long", 4, ME]
    told = webhooks(office, "show", "files")
    for fact in (row["webhook_id"], HOOK, MAILBOX, "what its rules say", "long", ME):
        assert fact in told


def test_everything_of_it_can_be_changed(office: Office, hook: str) -> None:
    url = "https://other.example.com/"
    where = ("--name", "bills", "--url", url, "--add-mailbox", OTHER_MAILBOX, "--remove-mailbox", MAILBOX)
    webhooks(office, "change", "files", *where, "--by-rules", "--schedule", "long", "--max-in-flight", "2")
    row = json.loads(webhooks(office, "show", "bills", "--json"))
    names = ("webhook_id", "url", "mailboxes", "by_rules", "schedule", "max_in_flight", "include_text", "has_secret")
    assert [row[name] for name in names] == [hook, url, [OTHER_MAILBOX], True, "long", 2, False, True]
    assert acts(office)[1:] == ["webhook.changed"]


def test_what_cannot_be_is_advised(office: Office, hook: str) -> None:
    for words, advice in (
        (("change", "files"), "--url or --schedule"),
        (("change", "files", "--schedule", "patient"), "standard"),
        (("change", "files", "--max-in-flight", "0"), "'--max-in-flight'"),
        (("change", "files", "--remove-mailbox", MAILBOX), "at least one mailbox"),
        (("change", "nothing", "--text"), "satchel gateway webhooks list"),
        (("show", "nothing"), "satchel gateway webhooks list"),
        (("pause", "nothing"), "satchel gateway webhooks list"),
        (("resume", "nothing"), "satchel gateway webhooks list"),
        (("secret", "finish", "files"), "satchel gateway webhooks secret rotate"),
        (("secret", "cancel", "files"), "satchel gateway webhooks secret rotate"),
        (("secret", "set", "files", "--no-secret", "--secret-file", "x"), "leave one out"),
        (("secret", "set", "files", "--secret-file", "no-such-file"), "cannot be read"),
    ):
        assert advice in office.advice("gateway", "webhooks", *words), words


def test_without_one_a_secret_is_made_and_shown_alone_and_once(office: Office) -> None:
    result = office.run(*ADD)
    secret = result.stdout.removesuffix("\n")
    assert len(signing_key(secret)) == 32
    assert secret.startswith("whsec_")
    assert "\n" not in secret
    assert shown(office)["webhook_id"] in result.stderr
    later = webhooks(office, "list") + webhooks(office, "list", "--json") + webhooks(office, "show", "files")
    assert secret not in later + json.dumps(shown(office)) + result.stderr
    assert secret.encode() not in written(office)


def test_a_secret_comes_from_a_file_or_the_environment(office: Office, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    for words, environment in (
        (("--secret-file", str(file)), {}),
        ((), {"SATCHEL_WEBHOOK_SECRET": SECRET}),
        ((), {"SATCHEL_WEBHOOK_SECRET_FILE": str(file)}),
    ):
        result = office.run(*ADD, *words, environment=environment)
        assert (result.exit_code, result.stdout) == (0, "")
        assert shown(office)["has_secret"]
        assert f"is that of {words[1] if words else 'SATCHEL_WEBHOOK_SECRET'}." in result.stderr
        assert SECRET not in result.output
        webhooks(office, "remove", "files")
    assert SECRET.encode() not in written(office)
    both = {"SATCHEL_WEBHOOK_SECRET": SECRET, "SATCHEL_WEBHOOK_SECRET_FILE": str(file)}
    assert "unset one" in office.advice(*ADD, environment=both)


def test_a_short_secret_is_taken_with_a_word_of_advice(office: Office) -> None:
    result = office.run(*ADD, environment={"SATCHEL_WEBHOOK_SECRET": "short"})
    assert (result.exit_code, "16 characters or more" in result.stderr) == (0, True)
    for secret in ("", "with space", "whsec_no-base64"):
        assert "ecret" in office.advice(*ADD, environment={"SATCHEL_WEBHOOK_SECRET": secret})


def test_a_webhook_may_have_no_secret(office: Office) -> None:
    result = office.run(*ADD, "--no-secret", environment={"SATCHEL_MASTER_KEY": None})
    assert (result.exit_code, result.stdout, "cannot tell who calls" in result.stderr) == (0, "", True)
    assert not shown(office)["has_secret"]


@pytest.mark.parametrize("key", [None, "short"])
def test_a_secret_needs_a_master_key(office: Office, key: str | None) -> None:
    assert "satchel gateway master-key new" in office.advice(*ADD, environment={"SATCHEL_MASTER_KEY": key})
    assert json.loads(webhooks(office, "list", "--json")) == []


def test_a_secret_is_changed_over(office: Office, hook: str) -> None:
    result = office.run("gateway", "webhooks", "secret", "rotate", "files")
    assert result.stdout.startswith("whsec_")
    assert f"satchel gateway webhooks secret finish {hook}" in result.stderr
    assert " changing " in webhooks(office, "list")
    assert "finish, or cancel" in office.advice("gateway", "webhooks", "secret", "rotate", "files")
    webhooks(office, "secret", "cancel", "files")
    assert webhooks(office, "secret", "rotate", "files", SATCHEL_WEBHOOK_SECRET=NEXT) == ""
    webhooks(office, "secret", "finish", "files")
    assert [shown(office)[name] for name in ("has_secret", "has_next_secret")] == [True, False]
    assert acts(office)[1:] == ["webhook.rekeyed"] * 4
    for secret in (SECRET, NEXT, result.stdout.strip()):
        assert secret.encode() not in written(office)


def test_one_that_is_there_already_is_no_next_secret(office: Office, hook: str) -> None:
    """As where its variable is still set."""
    environment: dict[str, str | None] = {"SATCHEL_WEBHOOK_SECRET": SECRET}
    advice = office.advice("gateway", "webhooks", "secret", "rotate", "files", environment=environment)
    assert "Name another" in advice


def test_another_master_key_than_that_of_the_others_is_told(office: Office, hook: str) -> None:
    other = {"SATCHEL_MASTER_KEY": new_master_key()}
    result = office.run(*ADD, environment=other)
    assert (result.exit_code, "the gateway does not start" in result.stderr) == (0, True)
    assert hook in result.stderr
    # Once all have been given anew, as after a key was lost, nothing is amiss.
    result = office.run("gateway", "webhooks", "secret", "set", hook, environment=other)
    assert (result.exit_code, "does not start" in result.stderr) == (0, False)


def test_a_paused_webhook_goes_on_once_its_receiver_has_the_new_secret(office: Office, hook: str) -> None:
    webhooks(office, "pause", "files")
    result = office.run("gateway", "webhooks", "secret", "set", "files")
    assert result.stdout.startswith("whsec_")
    assert f"satchel gateway webhooks resume {hook}" in result.stderr
    webhooks(office, "secret", "set", "files", "--no-secret")
    assert not shown(office)["has_secret"]


def test_what_people_wrote_cannot_steer_the_terminal(office: Office) -> None:
    name = "\x1b[31mfiles\u202e"
    office.good("gateway", "webhooks", "add", name, HOOK, "--mailbox", MAILBOX, "--no-secret")
    for words in (("pause", name, "--note", "\x07"), ("list",), ("show", name), ("resume", name), ("disable", name)):
        result = office.run("gateway", "webhooks", *words)
        assert result.exit_code == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(result.output)


def test_a_new_master_key_is_printed_alone(office: Office) -> None:
    result = office.run("gateway", "master-key", "new")
    # It needs no settings and takes none.
    assert result.exit_code == 2
    from typer.testing import CliRunner

    from satchel.cli.main import app

    made = CliRunner().invoke(app, ["gateway", "master-key", "new"])
    assert len(base64.b64decode(made.stdout)) == 32
    assert "SATCHEL_MASTER_KEY_FILE" in made.stderr


def test_the_master_key_is_checked_and_changed(office: Office, hook: str) -> None:
    new = new_master_key()
    assert "opens all secrets that there are: 1." in office.good("gateway", "master-key", "check")
    for wrong in (None, new):
        advice = office.advice("gateway", "master-key", "check", environment={"SATCHEL_MASTER_KEY": wrong})
        assert hook in advice
        assert "cannot be opened" in office.advice(
            "gateway", "master-key", "rotate", environment={"SATCHEL_MASTER_KEY": new}
        )
    both: dict[str, str | None] = {"SATCHEL_MASTER_KEY": f"{new},{MASTER_KEY}"}
    assert "master-key rotate" in office.good("gateway", "master-key", "check", environment=both)
    assert "Sealed 1 secret anew" in office.good("gateway", "master-key", "rotate", environment=both)
    only_new: dict[str, str | None] = {"SATCHEL_MASTER_KEY": new}
    assert office.good("gateway", "master-key", "check", environment=only_new) == (
        "The master key opens all secrets that there are: 1.\n"
    )
    assert "is not set" in office.advice("gateway", "master-key", "rotate", environment={"SATCHEL_MASTER_KEY": None})
    assert acts(office) == ["webhook.added", "webhook.resealed"]
