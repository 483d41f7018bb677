"""What commands print: text that is safe for a terminal, JSON for programs, and the error that people can mend."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

# Categories of characters that are not seen themselves but change what is.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_BEYOND_ASCII = re.compile("[\x7f-\U0010ffff]")


class CommandError(Exception):
    """A command cannot go on; the message says what is wrong and what to do."""


def printable(text: str) -> str:
    """Foreign text for a terminal: control characters, escapes and direction marks become `·`."""
    return "".join("·" if unicodedata.category(c) in _UNSEEN else c for c in text)


def moment(instant: datetime | None) -> str:
    """An instant to the minute in UTC; a dash for none."""
    return "-" if instant is None else instant.strftime("%Y-%m-%d %H:%M UTC")


def print_json(value: Any) -> None:
    """One JSON document on stdout. What could steer a terminal (controls, direction marks) stands escaped."""
    typer.echo(_steering_escaped(msgspec.json.format(msgspec.json.encode(value), indent=2)))


def print_json_line(value: Any) -> None:
    """As `print_json`, in one line of many."""
    typer.echo(_steering_escaped(msgspec.json.encode(value)))


def _steering_escaped(json: bytes) -> bytes:
    return _BEYOND_ASCII.sub(_escaped, json.decode()).encode()


def _escaped(match: re.Match[str]) -> str:
    if unicodedata.category(match[0]) not in _UNSEEN:
        return match[0]
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


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
