"""Commands whose options come together as one value."""

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from satchel.cli.grouped import grouped


@dataclass(frozen=True)
class Size:
    wide: Annotated[int, typer.Option(help="So wide.")]
    high: Annotated[int, typer.Option("--height", help="So high.")] = 3


@dataclass(frozen=True)
class Colour:
    colour: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None


told: list[tuple[str, Size, Colour, bool]] = []
app = typer.Typer()


@app.command()
@grouped
def paint(name: Annotated[str, typer.Argument()], size: Size, colour: Colour, wet: bool = False) -> None:
    """Paints."""
    told.append((name, size, colour, wet))


def test_the_options_of_all_groups_are_the_command_s() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    for words in ("Paints.", "--wide", "--height", "--colour", "--wet", "name", "[default: 3]"):
        assert words in shown


def test_the_command_is_called_with_the_values() -> None:
    told.clear()
    for words in (["a", "--wide", "1"], ["b", "--wide", "2", "--height", "9", "--colour", "red", "--wet"]):
        assert CliRunner().invoke(app, words).exit_code == 0
    assert told == [("a", Size(1, 3), Colour(), False), ("b", Size(2, 9), Colour(["red"]), True)]


def test_an_option_that_is_missing_is_asked_for() -> None:
    result = CliRunner().invoke(app, ["a"])
    assert (result.exit_code, "--wide" in result.output) == (2, True)
