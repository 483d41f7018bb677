"""The `satchel` command: its parts put together, and how a failure is told."""

import sys

import typer
from rich.console import Console

from satchel import __version__
from satchel.cli import archive, collector, demo, fetch, init, ls, messages, simulate
from satchel.cli.gateway import commands as gateway
from satchel.cli.output import CommandError

_HELP = """Attachments from shared mailboxes: an API to list and stream them, and a collector that files them.

Begin with `satchel demo`, or with `satchel init` in an empty folder."""

app = typer.Typer(
    name="satchel", help=_HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown"
)
app.add_typer(gateway.app, name="gateway")
app.add_typer(collector.app, name="collector")
app.command("mailboxes")(messages.mailboxes)
app.command("messages")(messages.messages)
app.command("ls")(ls.ls)
app.command("fetch")(fetch.fetch)
app.command("archive")(archive.archive)
app.command("init")(init.init)
app.command("demo")(demo.demo)
app.add_typer(simulate.app, name="simulate")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"satchel {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", help="Print the version and stop.", callback=_show_version, is_eager=True
    ),
) -> None:
    """Options of the command itself."""


def main() -> None:
    """Run the command line. A failure that a person can mend is one message on stderr and exit status 1."""
    try:
        app()
    except CommandError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"satchel: {error}", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
