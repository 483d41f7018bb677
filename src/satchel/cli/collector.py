"""`satchel collector …`: serve, look into the ledger, and ask again for what failed.

The collector is imported inside the commands: what it needs takes longer to import than a command takes to run.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.filesize import decimal

from satchel.cli.configured import ConfigFile, load, startable
from satchel.cli.output import CommandError, moment, print_json, print_table
from satchel.collector.settings import CollectorSettings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from satchel.collector.listing import Entry

app = typer.Typer(help="The collector: files attachments, each exactly once.", no_args_is_help=True)

_TABLE_ROWS = 1000

OfMessage = Annotated[str | None, typer.Option("--message", metavar="ID", help="Of this message only.")]


@contextmanager
def _ledger(config: Path | None) -> "Iterator[sa.Engine]":
    from satchel.collector.ledger import open_ledger

    data_dir = load(CollectorSettings, config).data_dir
    with startable(data_dir):
        engine = open_ledger(data_dir)
        try:
            yield engine
        finally:
            engine.dispose()


@app.command()
def serve(config: ConfigFile = None) -> None:
    """Run the collector until SIGTERM or Ctrl-C; what it cannot end in time it takes up again at the next start."""
    from satchel.collector.app import run
    from satchel.collector.sinks.sink import SinkError

    settings = load(CollectorSettings, config)
    try:
        with startable(settings.data_dir):
            run(settings)
    except SinkError as error:
        raise CommandError(f"[collector.local] root {settings.local.root}: {error}") from None


@app.command("list")
def list_entries(
    status: Annotated[
        Literal["pending", "stored", "skipped", "failed"] | None, typer.Option(help="Only rows with this status.")
    ] = None,
    message: OfMessage = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="Only the last so many rows; 0: all. By default 1000, and with --json all."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON for programs, with digests and file names.")] = False,
    config: ConfigFile = None,
) -> None:
    """Show the ledger: what was stored, skipped or failed, and why."""
    from satchel.collector import listing
    from satchel.collector.records import Status

    if limit is None and not json:
        limit = _TABLE_ROWS
    with _ledger(config) as engine:
        entries = listing.entries(
            engine, status=Status(status) if status else None, message_id=message, limit=limit or None
        )
    if json:
        print_json(entries)
        return
    print_table(
        ("UPDATED", "STATUS", "NAME", "SIZE", "REASON", "STORED AS"),
        [_row(entry) for entry in entries],
        empty="Nothing yet." if status is None else f"Nothing is {status}.",
    )


def _row(entry: "Entry") -> tuple[str, ...]:
    updated = moment(datetime.fromtimestamp(entry.updated_at_ms / 1000, UTC))
    name = entry.name if entry.name is not None else f"message {entry.message_id}"
    size = decimal(entry.size) if entry.size is not None else ""
    return updated, entry.status, name, size, entry.reason or "", entry.storage_key or ""


@app.command()
def retry(
    message: OfMessage = None,
    attachment: Annotated[
        str | None, typer.Option("--attachment", metavar="ID", help="Only this attachment of the message.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Ask again for everything that failed; a collector that is running takes it up within its sweep_seconds."""
    if attachment is not None and message is None:
        raise CommandError("--attachment needs --message too: ids of attachments are those of a message.")
    from satchel.collector import listing

    with _ledger(config) as engine:
        count = listing.retry(engine, now_ms=time.time_ns() // 1_000_000, message_id=message, attachment_id=attachment)
    typer.echo(f"{count} asked for again." if count else "Nothing has failed.")
