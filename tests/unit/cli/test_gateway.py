"""Administering the gateway from the command line."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from satchel.cli.main import app

MAILBOX = "invoices@example.com"
HOOK = "https://files.example.com/webhook"
MASTER_KEY = base64.b64encode(bytes(32)).decode()

# None: not set.
Environment = Mapping[str, str | None]


class Office:
    """A folder with a satchel.toml, and the commands run on it."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "satchel.toml"
        self.config.write_text("[gateway]\n")

    def run(self, *words: str, environment: Environment | None = None, typed: str | None = None) -> Any:
        given = {"SATCHEL_MASTER_KEY": MASTER_KEY, **(environment or {})}
        return CliRunner().invoke(app, [*words, "--config", str(self.config)], env=given, input=typed)

    def good(self, *words: str, environment: Environment | None = None) -> str:
        result = self.run(*words, environment=environment)
        assert result.exit_code == 0, f"{result.output} {result.exception}"
        stdout: str = result.stdout
        return stdout

    def advice(self, *words: str, environment: Environment | None = None) -> str:
        result = self.run(*words, environment=environment)
        assert result.exit_code != 0
        return f"{result.output} {result.exception}"


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


@pytest.fixture
def key_words() -> list[str]:
    return ["gateway", "keys", "create", "it", "--mailbox", MAILBOX, "--scope", "messages:read", "--expires", "90d"]


def test_mailboxes_are_added_once_and_listed(office: Office) -> None:
    office.good("gateway", "mailboxes", "add", "Invoices@Example.com", "--name", "Bills")
    office.good("gateway", "mailboxes", "add", MAILBOX)
    [row] = json.loads(office.good("gateway", "mailboxes", "list", "--json"))
    assert (row["address"], row["name"], row["time_zone"]) == (MAILBOX, "Bills", "UTC")
    assert MAILBOX in office.good("gateway", "mailboxes", "list")


def test_what_is_no_address_is_refused(office: Office) -> None:
    assert "write it like" in office.advice("gateway", "mailboxes", "add", "nobody")


def test_a_key_is_printed_alone_and_never_again(office: Office, key_words: list[str]) -> None:
    office.good("gateway", "mailboxes", "add", MAILBOX)
    printed = office.good(*key_words)
    key = printed.strip()
    assert printed == f"{key}\n"
    assert key.startswith("satchel_")
    shown = office.good("gateway", "keys", "list") + office.good("gateway", "keys", "list", "--json")
    assert key not in shown
    assert "usable" in shown
    assert key.encode() not in b"".join(path.read_bytes() for path in office.config.parent.rglob("*.db*"))


def test_a_key_for_an_unknown_mailbox_says_how_to_add_it(office: Office, key_words: list[str]) -> None:
    assert "satchel gateway mailboxes add" in office.advice(*key_words)


@pytest.mark.parametrize(
    ("place", "word", "advice"),
    [(9, "soon", "as in 90d"), (7, "everything", "messages:read"), (3, " ", "needs a name")],
)
def test_a_wrong_word_is_advised(office: Office, key_words: list[str], place: int, word: str, advice: str) -> None:
    office.good("gateway", "mailboxes", "add", MAILBOX)
    key_words[place] = word
    assert advice in office.advice(*key_words)


def test_a_key_is_revoked_by_its_short_identifier(office: Office, key_words: list[str]) -> None:
    office.good("gateway", "mailboxes", "add", MAILBOX)
    office.good(*key_words)
    [row] = json.loads(office.good("gateway", "keys", "list", "--json"))
    assert "is revoked" in office.good("gateway", "keys", "revoke", row["short_identifier"])
    assert "revoked" in office.good("gateway", "keys", "list")
    assert "satchel gateway keys list" in office.advice("gateway", "keys", "revoke", "nothing")


def test_settings_that_are_wrong_stop_the_command(office: Office) -> None:
    office.config.write_text("[gateway]\nlisten_prot = 1\n")
    assert "Did you mean 'listen_port'?" in office.advice("gateway", "mailboxes", "list")


def test_an_empty_list_says_what_to_do(office: Office) -> None:
    assert "satchel gateway keys create" in office.good("gateway", "keys", "list")
    assert "satchel gateway webhooks add" in office.good("gateway", "webhooks", "list")


@pytest.mark.parametrize("api_only", [False, True])
def test_the_api_alone_is_served_where_that_is_asked(
    office: Office, monkeypatch: pytest.MonkeyPatch, api_only: bool
) -> None:
    from satchel.gateway import app as gateway_app

    asked: list[bool] = []
    monkeypatch.setattr(gateway_app, "run", lambda settings, *, api_only: asked.append(api_only))
    office.good("gateway", "serve", *(["--api-only"] if api_only else []))
    assert asked == [api_only]
