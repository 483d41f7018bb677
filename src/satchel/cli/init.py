"""`satchel init`: a folder to begin in."""

from pathlib import Path

import typer

from satchel.cli.config_file import default_config
from satchel.cli.output import CommandError
from satchel.settings import CONFIG_FILE


def init(
    folder: Path = typer.Argument(Path(), metavar="DIR", help="The folder to write to; made where it is missing."),
) -> None:
    """Write a commented satchel.toml, to begin with the defaults and change what you need."""
    path = folder / CONFIG_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(default_config())
    except FileExistsError:
        raise CommandError(f"{path} is there already; it was left as it is. Move it away to get a new one.") from None
    except OSError as error:
        raise CommandError(f"{path}: cannot be written: {error.strerror}.") from None
    typer.echo(f"Wrote {path}. Put mailboxes into {folder / 'mail'}, then: satchel gateway serve")
