"""What `satchel gateway doctor` prints, and how it ends. What it finds in Microsoft 365 the simulator tests."""

import json
from pathlib import Path

import pytest

from satchel.gateway.findings import Finding, Verdict
from tests.unit.cli.test_gateway import MAILBOX, Office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    office.config.write_text('[gateway]\n[gateway.accounts.acme]\nfolder.path = "mail-acme"\n')
    for folder in ("mail", "mail-acme"):
        (tmp_path / folder / MAILBOX / "new").mkdir(parents=True)
        (tmp_path / folder / MAILBOX / "cur").mkdir()
    return office


def test_all_is_well(office: Office) -> None:
    shown = office.good("gateway", "doctor")
    assert shown.splitlines() == [
        "default (folder)",
        "ok    The mail folder can be read: 1 mailbox.",
        "",
        "acme (folder)",
        "ok    The mail folder can be read: 1 mailbox.",
    ]


def test_of_one_account(office: Office) -> None:
    assert office.good("gateway", "doctor", "--account", "acme").count("ok") == 1
    assert "name no account" in office.advice("gateway", "doctor", "--account", "nobody")


def test_warnings_alone_end_with_three(office: Office, tmp_path: Path) -> None:
    for each in (tmp_path / "mail" / MAILBOX).iterdir():
        each.rmdir()
    (tmp_path / "mail" / MAILBOX).rmdir()
    result = office.run("gateway", "doctor")
    assert (result.exit_code, "warn  The mail folder has no mailboxes." in result.stdout) == (3, True)
    assert "→ Put one into it" in result.stdout


def test_a_failure_ends_with_one_whatever_else_there_is(office: Office, tmp_path: Path) -> None:
    (tmp_path / "mail-acme").rename(tmp_path / "away")
    result = office.run("gateway", "doctor")
    assert (result.exit_code, "FAIL  The mail folder cannot be opened" in result.stdout) == (1, True)


def test_a_source_that_was_forgotten(office: Office) -> None:
    settings = f'[gateway.graph]\nclient_id = "c"\ntenant_id = "t"\nclient_secret = "s"\nmailboxes = ["{MAILBOX}"]\n'
    office.config.write_text(settings)
    result = office.run("gateway", "doctor")
    assert (result.exit_code, '→ Set source = "graph".' in result.stdout) == (3, True)


def test_for_programs(office: Office, tmp_path: Path) -> None:
    (tmp_path / "mail").rename(tmp_path / "away")
    result = office.run("gateway", "doctor", "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert (said["verdict"], [each["account"] for each in said["accounts"]]) == ("failure", ["default", "acme"])
    [finding] = said["accounts"][0]["findings"]
    assert (finding["check"], finding["verdict"], bool(finding["advice"])) == ("folder", "failure", True)


def test_what_comes_from_elsewhere_cannot_steer_the_terminal(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(*_: object) -> list[object]:
        from satchel.gateway.doctor import Report

        return [Report("default", "graph", [Finding("token", Verdict.FAILURE, "\x1b[31mred", "\x07bell")])]

    monkeypatch.setattr("satchel.gateway.doctor.examine", found)
    result = office.run("gateway", "doctor")
    assert result.exit_code == 1
    assert "·[31mred" in result.stdout
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout


def test_files_of_the_settings_that_are_not_there(office: Office) -> None:
    office.config.write_text(
        '[gateway]\nsource = "graph"\n[gateway.graph]\ntenant_id = "t"\nclient_id = "c"\ncredential = "certificate"\n'
        f'certificate_file = "nowhere.pem"\nmailboxes = ["{MAILBOX}"]\n'
    )
    assert "nowhere.pem cannot be read" in office.advice("gateway", "doctor")


def test_secrets_that_the_master_key_does_not_open(office: Office) -> None:
    from satchel.gateway.sealing import new_master_key

    for account in ("default", "acme"):
        of_account = ("--mailbox", MAILBOX, "--account", account)
        office.good("gateway", "mailboxes", "add", MAILBOX, "--account", account)
        office.good("gateway", "webhooks", "add", "w", "https://example.com/", *of_account)
    assert office.good("gateway", "doctor").count("ok    The master key opens the secrets of all webhooks.") == 2
    for wrong in (None, new_master_key()):
        result = office.run("gateway", "doctor", environment={"SATCHEL_MASTER_KEY": wrong})
        assert result.exit_code == 1
        assert result.stdout.count("FAIL  Secrets of webhooks cannot be opened: 1 of 1.") == 2
        assert "satchel gateway webhooks secret set" in result.stdout
