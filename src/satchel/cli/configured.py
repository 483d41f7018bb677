"""The option that names satchel.toml, and settings whose errors are the command's."""

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from satchel.cli.output import CommandError
from satchel.settings import SettingsBase, SettingsError

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="SATCHEL_CONFIG",
        metavar="FILE",
        help="The settings; by default satchel.toml in the working folder, if there is one.",
    ),
]

Settings = TypeVar("Settings", bound=SettingsBase)


def load(kind: type[Settings], config: Path | None) -> Settings:
    """A program's settings. Raises CommandError."""
    try:
        return kind.load(config)
    except SettingsError as error:
        raise CommandError(str(error)) from None
