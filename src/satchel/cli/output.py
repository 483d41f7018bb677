"""What commands print: text that is safe for a terminal, JSON for programs, and the error that people can mend."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table


class CommandError(Exception):
    """A command cannot go on; the message says what is wrong and what to do."""


def printable(text: str) -> str:
    """Foreign text for a terminal: control characters, escapes and direction marks become `·`."""
    return "".join("·" if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c for c in text)


def moment(instant: datetime | None) -> str:
    """An instant to the minute in UTC; a dash for none."""
    return "-" if instant is None else instant.strftime("%Y-%m-%d %H:%M UTC")


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """A table on stdout, as wide as it needs; `empty` is said where there are no rows."""
    if not rows:
        typer.echo(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ignore")
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    # As wide as the rows are: a terminal wraps them, a program that reads them wants them whole.
    console = Console(highlight=False, markup=False, width=100_000)
    for line in console.render_lines(table, pad=False):
        typer.echo("".join(segment.text for segment in line).rstrip())
