"""`satchel ls` and `satchel fetch` against the fake gateway."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from satchel.cli.archive import archive
from satchel.cli.fetch import fetch
from satchel.cli.ls import ls
from satchel.cli.output import CommandError
from satchel.testing.faults import Refuse
from satchel.testing.gateway import FakeGateway
from tests.contracts.client_cases import names_in


def command() -> typer.Typer:
    app = typer.Typer()
    app.command("ls")(ls)
    app.command("fetch")(fetch)
    app.command("archive")(archive)
    return app


async def run(gateway: FakeGateway, *arguments: str) -> Result:
    environment = {"SATCHEL_URL": gateway.url, "SATCHEL_API_KEY": gateway.api_key, "SATCHEL_ALLOW_HTTP": None}
    return await asyncio.to_thread(CliRunner().invoke, command(), list(arguments), env=environment)


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with FakeGateway() as gateway:
        gateway.add("m", "a.pdf", b"first", content_type="application/pdf")
        gateway.add("m", "a.pdf", b"second", content_type="application/pdf")
        gateway.add("m", "../\x1b[2Jb\u202e.txt", b"third" * 100_000, content_type="text/plain", is_inline=True)
        gateway.add("m", "Nested", b"", attachment_type="itemAttachment")
        yield gateway


async def test_ls_shows_a_table_that_is_safe_for_a_terminal(gateway: FakeGateway) -> None:
    result = await run(gateway, "ls", "m")
    assert result.exit_code == 0
    assert [line.split()[:3] for line in result.stdout.splitlines()] == [
        ["NAME", "TYPE", "SIZE"],
        ["a.pdf", "application/pdf", "5"],
        ["a.pdf", "application/pdf", "6"],
        ["../·[2Jb·.txt", "text/plain", "500.0"],
        ["Nested", "application/octet-stream", "0"],
    ]


async def test_ls_as_json_is_the_list_of_the_api(gateway: FakeGateway) -> None:
    result = await run(gateway, "ls", "m", "--json")
    listed = json.loads(result.stdout)["attachments"]
    assert [each["size"] for each in listed] == [5, 6, 500_000, 0]
    assert listed[2]["name"] == "../\x1b[2Jb\u202e.txt"
    assert not {"\x1b", "\u202e"} & set(result.stdout)


async def test_fetch_stores_each_file_and_prints_what_sha256sum_checks(gateway: FakeGateway, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    result = await run(gateway, "fetch", "m", "--to", str(folder))
    assert result.exit_code == 0
    assert names_in(folder) == ["___[2Jb.txt", "a (2).pdf", "a.pdf"]
    assert (folder / "a (2).pdf").read_bytes() == b"second"
    digests = {path: digest for digest, path in (line.split("  ") for line in result.stdout.splitlines())}
    assert digests == {
        str(folder / name): added.sha256
        for name, added in zip(["a.pdf", "a (2).pdf", "___[2Jb.txt"], gateway.messages["m"].values(), strict=False)
    }
    assert "Left out 1" in result.stderr


async def test_fetch_only_some_as_json(gateway: FakeGateway, tmp_path: Path) -> None:
    result = await run(gateway, "fetch", "m", "--to", str(tmp_path), "--only", "*.PDF", "--json")
    told = json.loads(result.stdout)
    assert [(each["status"], each["size"], Path(each["path"]).name) for each in told] == [
        ("stored", 5, "a.pdf"),
        ("stored", 6, "a (2).pdf"),
    ]
    assert names_in(tmp_path) == ["a (2).pdf", "a.pdf"]


async def test_one_failure_does_not_stop_the_others_and_is_told(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.fail(Refuse(404), attachment_id="m-1=")
    result = await run(gateway, "fetch", "m", "--to", str(tmp_path), "--json")
    assert result.exit_code == 1
    assert isinstance(result.exception, CommandError)
    assert str(result.exception).startswith("1 of 3 files were not stored:\n  a.pdf: Planned by the test.")
    assert [each["status"] for each in json.loads(result.stdout)] == ["failed", "stored", "stored"]
    assert names_in(tmp_path) == ["___[2Jb.txt", "a (2).pdf"]


async def test_files_that_are_there_are_kept_unless_told(gateway: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"mine")
    kept = await run(gateway, "fetch", "m", "--to", str(tmp_path), "--only", "a.pdf")
    assert kept.exit_code == 1
    assert "exists already" in str(kept.exception)
    assert (tmp_path / "a.pdf").read_bytes() == b"mine"
    replaced = await run(gateway, "fetch", "m", "--to", str(tmp_path), "--only", "a.pdf", "--overwrite")
    assert replaced.exit_code == 0
    assert (tmp_path / "a.pdf").read_bytes() == b"first"


@pytest.mark.parametrize("name", ["ls", "fetch"])
async def test_an_unknown_message_and_a_wrong_key_are_told(gateway: FakeGateway, name: str) -> None:
    unknown = await run(gateway, name, "x")
    assert isinstance(unknown.exception, CommandError)
    assert "Check the message id" in str(unknown.exception)
    refused = await run(gateway, name, "m", "--api-key", "wrong")
    assert "SATCHEL_API_KEY" in str(refused.exception)
    strange = await run(gateway, name, "m", "--url", "http://satchel.example.com")
    assert "unencrypted" in str(strange.exception)


async def test_archive_stores_all_files_as_one(gateway: FakeGateway, tmp_path: Path) -> None:
    target = str(tmp_path / "all.zip")
    result = await run(gateway, "archive", "m", "--to", target)
    assert result.exit_code == 0
    assert names_in(tmp_path) == ["all.zip"]
    assert result.stdout.split("  ")[1].strip() == target
    assert (gateway.count(), gateway.count("archive")) == (1, 1)
    again = await run(gateway, "archive", "m", "--to", target)
    assert (again.exit_code, "exists already" in str(again.exception)) == (1, True)
    told = json.loads((await run(gateway, "archive", "m", "--to", target, "--overwrite", "--json")).stdout)
    assert (told["id"], told["path"], told["sha256"]) == ("m", target, result.stdout.split("  ")[0])


async def test_archive_says_what_to_do_where_it_cannot(gateway: FakeGateway, tmp_path: Path) -> None:
    missing = await run(gateway, "archive", "m", "--to", str(tmp_path / "missing" / "all.zip"))
    assert "Create it first" in str(missing.exception)
    folder = await run(gateway, "archive", "m", "--to", str(tmp_path), "--overwrite")
    assert f"--to {tmp_path / 'attachments.zip'}" in str(folder.exception)
    assert gateway.count() == 0
    gateway.behaviour.archives = False
    result = await run(gateway, "archive", "m", "--to", str(tmp_path / "all.zip"))
    assert "satchel fetch" in str(result.exception)
    assert names_in(tmp_path) == []
