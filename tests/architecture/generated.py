"""The files that come from the code: `make docs` writes them, a test holds that they are as written."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from satchel.cli.config_file import default_config, toml_value, variable
from satchel.cli.main import app
from satchel.collector.settings import CollectorSettings
from satchel.gateway.admission import Admission
from satchel.gateway.api.application import build_operations
from satchel.gateway.api.archive import Archives
from satchel.gateway.api.openapi import openapi_document
from satchel.gateway.api.routing import Operation
from satchel.gateway.reports.reporting import Reporting
from satchel.gateway.service import AttachmentService
from satchel.gateway.settings import GatewaySettings
from satchel.settings import SettingsBase, fields

ROOT = Path(__file__).parents[2]


def configuration() -> str:
    """docs/reference/configuration.md."""
    lines = [
        "# Settings",
        "",
        "Every setting of satchel.toml; `satchel init` writes one with all of these in it. The environment stands",
        "over the file; a variable with `_FILE` behind its name is a file to read the value from. Relative paths",
        "start at the folder of satchel.toml.",
    ]
    for settings, title in ((GatewaySettings, "The gateway"), (CollectorSettings, "The collector")):
        lines += ["", f"## {title}: `[{settings.table}]`", "", "| setting | default | meaning |", "| --- | --- | --- |"]
        lines += _settings_rows(settings)
    return "\n".join(lines) + "\n"


def _settings_rows(settings: type[SettingsBase]) -> list[str]:
    rows = []
    for path, field in fields(settings):
        default = field.get_default(call_default_factory=True, validated_data={})
        shown = "" if field.is_required() or default is None else f"`{toml_value(default)}`"
        name = f"`{'.'.join(path)}`<br>`{variable(settings, path)}`"
        rows.append(f"| {name} | {shown} | {field.description} |")
    return rows


Command = TyperCommand | TyperGroup


def commands(command: Command, path: tuple[str, ...] = ("satchel",)) -> list[tuple[tuple[str, ...], Command]]:
    """Every command with its words, groups opened."""
    found = [(path, command)]
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            found += commands(inner, (*path, name))
    return found


def command_line() -> str:
    """docs/reference/cli.md."""
    lines = ["# Commands", "", "What `satchel --help` and the help of each command say, on one page."]
    for path, command in commands(typer.main.get_command(app)):
        lines += ["", f"## `{' '.join(path)}`", "", _plain(command.help)]
        usage = " ".join(command.collect_usage_pieces(typer.Context(command)))
        lines += ["", f"    {' '.join(path)} {usage}"]
        rows = [row for parameter in command.params if (row := _parameter_row(parameter)) is not None]
        if rows:
            lines += ["", "| option | meaning |", "| --- | --- |", *rows]
    return "\n".join(lines) + "\n"


def _parameter_row(parameter: object) -> str | None:
    if not isinstance(parameter, TyperOption) or parameter.hidden or "--help" in parameter.opts:
        return None
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    source = f" Also from `{parameter.envvar}`." if parameter.envvar else ""
    return f"| {names} | {_plain(parameter.help)}{source} |"


def _plain(text: str | None) -> str:
    return re.sub(r"\s*\n\s*", " ", (text or "").strip()).replace("|", "\\|")


def operations() -> tuple[Operation, ...]:
    """The gateway's operations, of which none can be called: to describe them nothing else is needed."""

    async def ready() -> dict[str, bool]:
        return {}

    service = AttachmentService({})
    admission, reporting = cast("Admission", None), cast("Reporting", None)
    return build_operations(admission, service, Archives(service, threads=1), reporting, ready)


def openapi() -> str:
    """tests/golden/openapi.json."""
    return json.dumps(openapi_document(operations()), indent=1, ensure_ascii=False) + "\n"


def routes() -> str:
    """tests/golden/routes.md."""
    lines = ["# Routes", "", "Every call of the gateway, the scopes of the key that it needs, and its cost against the"]
    lines += ["account's rate. A route that is no part of the API's document is a page or a file of /docs.", ""]
    lines += ["| method | path | key | scopes | cost | operation |", "| --- | --- | --- | --- | --- | --- |"]
    for operation in operations():
        route, described = operation.route, operation.description
        key = "needed" if route.needs_key else "none"
        scopes = ", ".join(sorted(f"`{scope}`" for scope in route.scopes))
        name = described.operation_id if described is not None else ""
        lines += [f"| {method} | {route.path} | {key} | {scopes} | {route.cost} | {name} |" for method in route.methods]
    return "\n".join(lines) + "\n"


FILES: dict[str, Callable[[], str]] = {
    "docs/reference/configuration.md": configuration,
    "docs/reference/cli.md": command_line,
    "tests/golden/satchel.toml": default_config,
    "tests/golden/openapi.json": openapi,
    "tests/golden/routes.md": routes,
}


def main() -> None:
    for name, write in FILES.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(write(), "utf-8")
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
