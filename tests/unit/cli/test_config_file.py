"""The file that `satchel init` writes."""

import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from satchel.cli.config_file import default_config, toml_value
from satchel.cli.main import app
from satchel.collector.settings import CollectorSettings
from satchel.gateway.settings import AccountSettings, FolderSettings, GatewaySettings
from satchel.settings import ANY_NAME, SettingsBase, fields

PROGRAMS = (GatewaySettings, CollectorSettings)


def uncommented(text: str) -> str:
    """Every setting that shows a default switched on."""
    return re.sub(r"(?m)^# (\w+ = .+)$", r"\1", text)


@pytest.mark.parametrize("settings", PROGRAMS)
def test_the_defaults_in_the_file_are_the_defaults(settings: type[SettingsBase], tmp_path: Path) -> None:
    path = tmp_path / "satchel.toml"
    path.write_text(uncommented(default_config()), "utf-8")
    with_file = settings.load(path)
    path.write_text("", "utf-8")
    assert with_file == settings.load(path)


@pytest.mark.parametrize("settings", PROGRAMS)
def test_every_setting_is_in_it_with_a_description(settings: type[SettingsBase]) -> None:
    text = default_config()
    for path, field in fields(settings):
        assert field.description, path
        if ANY_NAME in path and path[path.index(ANY_NAME) + 1] == "graph":
            # As long as all others of an account together, and there once already.
            continue
        shown = f"#   {'.'.join(path[path.index(ANY_NAME) + 1 :])} =" if ANY_NAME in path else f"# {path[-1]} ="
        assert shown in text, path


def test_the_account_that_is_shown_can_be_switched_on_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "satchel.toml"
    head, _, block = default_config().partition("# [gateway.accounts.acme]\n")
    example, _, rest = block.partition("\n\n")
    path.write_text("\n".join([head, "[gateway.accounts.acme]", example.replace("#   ", ""), rest]), "utf-8")
    expected = AccountSettings(folder=FolderSettings(path=tmp_path / "mail-acme"))
    assert GatewaySettings.load(path).accounts == {"acme": expected}


def test_as_it_is_it_holds_no_setting() -> None:
    document = tomllib.loads(default_config())
    assert document == {"gateway": document["gateway"], "collector": document["collector"]}
    for table in document.values():
        assert all(value == {} for value in table.values())


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ('a "b" \\', '"a \\"b\\" \\\\"'),
        ("ü", '"ü"'),
        (Path("a/b"), '"a/b"'),
        (True, "true"),
        (1.5, "1.5"),
        ([1, "x"], '[1, "x"]'),
    ],
)
def test_values_are_toml(value: object, written: str) -> None:
    assert toml_value(value) == written
    assert tomllib.loads(f"key = {written}")["key"] == (str(value) if isinstance(value, Path) else value)


def test_init_writes_it_once(tmp_path: Path) -> None:
    folder = tmp_path / "office"
    first = CliRunner().invoke(app, ["init", str(folder)])
    assert first.exit_code == 0
    assert (folder / "satchel.toml").read_text("utf-8") == default_config()
    (folder / "satchel.toml").write_text("[gateway]\n")
    second = CliRunner().invoke(app, ["init", str(folder)])
    assert second.exit_code == 1
    assert "is there already" in str(second.exception)
    assert (folder / "satchel.toml").read_text("utf-8") == "[gateway]\n"
