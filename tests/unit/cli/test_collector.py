"""The collector's commands: what keeps it from starting is told in one line, and the ledger is shown."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from satchel.cli.configured import startable
from satchel.cli.main import app
from satchel.cli.output import CommandError
from satchel.collector.ledger import open_ledger
from satchel.collector.records import Event, accept, record_failed
from satchel.process.server import CannotListen

pytestmark = pytest.mark.usefixtures("logs_as_they_were")


def advice(folder: Path, settings: str, *words: str) -> str:
    """The message of a command that has to fail, and not by a defect."""
    config = folder / "satchel.toml"
    config.write_text(f"[collector]\nlisten_port = 0\n{settings}\n")
    result = CliRunner().invoke(app, ["collector", *words, "--config", str(config)])
    assert isinstance(result.exception, CommandError), result.exception
    return str(result.exception)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("", "[collector] api_key is needed"),
        ('api_key = "k"\ngateway_url = "ftp://x"', "[collector] gateway_url"),
        ('api_key = "k"\ngateway_url = "http://example.com"', "[collector] gateway_url"),
        ('api_key = "ü"', "api_key"),
        ('api_key = "k"\ndata_dir = "satchel.toml/data"', "cannot be used: Not a directory"),
        ('api_key = "k"\nlocal.root = "satchel.toml"', "[collector.local] root"),
    ],
)
def test_what_keeps_it_from_starting_is_advice(tmp_path: Path, settings: str, said: str) -> None:
    assert said in advice(tmp_path, settings, "serve")


@pytest.mark.parametrize("file", ["ledger.sqlite", "durable.sqlite"])
def test_a_file_that_is_no_database_is_named_by_its_folder(tmp_path: Path, file: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / file).write_bytes(b"no database" * 1000)
    said = advice(tmp_path, 'api_key = "k"\ndata_dir = "data"', "serve")
    assert f"{tmp_path / 'data'} cannot be used: file is not a database" in said


@pytest.mark.parametrize("words", [("list",), ("retry",)])
def test_the_ledger_cannot_be_opened(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "data").write_bytes(b"")
    assert "data cannot be used: File exists" in advice(tmp_path, 'data_dir = "data"', *words)


def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    engine = open_ledger(tmp_path / "data")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    assert "newer version" in advice(tmp_path, 'data_dir = "data"', "list")


def test_an_attachment_alone_cannot_be_asked_for_again(tmp_path: Path) -> None:
    assert "--message" in advice(tmp_path, "", "retry", "--attachment", "a")


def test_what_failed_is_listed_and_asked_for_again(tmp_path: Path) -> None:
    config = tmp_path / "satchel.toml"
    config.write_text('[collector]\ndata_dir = "data"\n')
    engine = open_ledger(tmp_path / "data")
    with engine.begin() as connection:
        [work] = accept(connection, Event("m\x1b[2J", "", "", ""), now_ms=0, max_pending=9).work
        record_failed(connection, work, reason="not_found", now_ms=0)
    engine.dispose()

    def said(*words: str) -> str:
        result = CliRunner().invoke(app, ["collector", *words, "--config", str(config)])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "message m·[2J" in said("list", "--status", "failed")
    assert '"reason": "not_found"' in said("list", "--json")
    assert "message m" in said("list", "--limit", "1")
    assert "message m" in said("list", "--limit", "0")
    assert said("list", "--status", "stored") == "Nothing is stored.\n"
    assert said("retry", "--message", "other") == "Nothing has failed.\n"
    assert said("retry") == "1 asked for again.\n"
    assert "pending" in said("list")


def test_the_errors_of_tasks_are_told_too() -> None:
    with pytest.raises(CommandError, match="Cannot listen"), startable(Path("data")):
        raise ExceptionGroup("tasks", [CannotListen("Cannot listen on x.")])
    with pytest.raises(ExceptionGroup), startable(Path("data")):
        raise ExceptionGroup("tasks", [CannotListen("x"), ZeroDivisionError()])


def test_commands_import_only_what_they_use() -> None:
    """DBOS and Alembic alone take longer to import than a command takes to run."""
    code = "import sys, satchel.cli.main; print(*({'dbos', 'alembic', 'uvicorn', 'fastapi'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"\n"
