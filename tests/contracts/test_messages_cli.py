"""`satchel mailboxes` and `satchel messages` against the fake gateway."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import typer
from typer.testing import CliRunner, Result

from satchel.cli.messages import mailboxes, messages
from satchel.cli.output import CommandError
from satchel.contract.scopes import Scope
from satchel.testing.faults import Refuse
from satchel.testing.gateway import FakeGateway

ADDRESS = "invoices@example.com"
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SINCE = ["--since", "2025-01-01T00:00:00Z"]


async def run(gateway: FakeGateway, *arguments: str) -> Result:
    app = typer.Typer()
    app.command("mailboxes")(mailboxes)
    app.command("messages")(messages)
    environment = {"SATCHEL_URL": gateway.url, "SATCHEL_API_KEY": gateway.api_key, "SATCHEL_ALLOW_HTTP": None}
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=environment)


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with FakeGateway() as gateway:
        gateway.reports.behaviour.running_answers = 0
        gateway.reports.add_mailbox(ADDRESS, name="Bi\x1b[2Jlls", time_zone="Europe/Berlin", active=False)
        gateway.reports.receive(ADDRESS, "AAMk1=", received=WHEN, subject="Invoice\r\n\x1b[2J\u202efdp")
        gateway.reports.receive(ADDRESS, "AAMk2=", received=WHEN, subject="", sender="", has_attachments=False)
        yield gateway


async def test_mailboxes_are_listed_safe_for_a_terminal(gateway: FakeGateway) -> None:
    result = await run(gateway, "mailboxes")
    assert result.exit_code == 0
    assert [line.split()[:4] for line in result.stdout.splitlines()] == [
        ["ADDRESS", "NAME", "TIME", "ZONE"],
        [ADDRESS, "Bi·[2Jlls", "Europe/Berlin", "no"],
    ]
    (listed,) = json.loads((await run(gateway, "mailboxes", "--json")).stdout)["mailboxes"]
    assert (listed["mailboxName"], listed["timeZone"]) == ("Bi\x1b[2Jlls", "Europe/Berlin")


async def test_messages_are_a_line_each_safe_for_a_terminal(gateway: FakeGateway) -> None:
    result = await run(gateway, "messages", "--mailbox", ADDRESS, *SINCE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "2026-01-02T03:04:05Z  AAMk1=  files  ada@supplier.example  Invoice···[2J·fdp",
        "2026-01-02T03:04:05Z  AAMk2=  -      -",
    ]


async def test_messages_as_json_are_a_row_a_line(gateway: FakeGateway) -> None:
    result = await run(gateway, "messages", "--mailbox", ADDRESS, *SINCE, "--json", "--participants")
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert (first["messageId"], first["subject"]) == ("AAMk1=", "Invoice\r\n\x1b[2J\u202efdp")
    assert first["to"] == [{"emailAddress": {"name": "", "address": ADDRESS}}]
    assert second["hasAttachments"] is False
    assert not {"\x1b", "\u202e"} & set(result.stdout)
    plain = await run(gateway, "messages", "--mailbox", ADDRESS, *SINCE, "--json")
    assert "to" not in json.loads(plain.stdout.splitlines()[0])


async def test_a_time_without_messages_says_so_to_people_and_nothing_to_programs(gateway: FakeGateway) -> None:
    words = ["messages", "--mailbox", ADDRESS, "--since", "1990-01-01", "--until", "2020-01-01"]
    assert (await run(gateway, *words)).stdout == "No messages.\n"
    empty = await run(gateway, *words, "--json")
    assert (empty.exit_code, empty.stdout) == (0, "")


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["--mailbox", "nobody@example.com", *SINCE], "`satchel mailboxes` lists those that the key may see"),
        (["--mailbox", ADDRESS, "--since", "soon"], "write how long ago"),
        (["--mailbox", ADDRESS, *SINCE, "--until", "later"], "write how long ago"),
        (["--mailbox", ADDRESS, *SINCE, "--api-key", "wrong"], "SATCHEL_API_KEY"),
    ],
)
async def test_what_cannot_be_is_told_with_advice(gateway: FakeGateway, words: list[str], advice: str) -> None:
    result = await run(gateway, "messages", *words)
    assert (result.exit_code, isinstance(result.exception, CommandError)) == (1, True)
    assert advice in str(result.exception)


async def test_missing_scopes_and_failed_reports_are_told(gateway: FakeGateway) -> None:
    gateway.reports.behaviour.fails = True
    failed = await run(gateway, "messages", "--mailbox", ADDRESS, *SINCE)
    assert "could not make the report: Planned by the test." in str(failed.exception)
    gateway.scopes = frozenset({Scope.REPORTING})
    refused = await run(gateway, "messages", "--mailbox", ADDRESS, *SINCE)
    assert "The key needs reporting, and for messages also messages:read." in str(refused.exception)


async def test_a_wait_beyond_patience_is_an_error(gateway: FakeGateway) -> None:
    gateway.fail(Refuse(429, retry_after="9999"), call="report")
    result = await run(gateway, "messages", "--mailbox", ADDRESS, *SINCE)
    assert (result.exit_code, "Planned by the test." in str(result.exception)) == (1, True)
