"""`satchel demo`: sample mail goes the whole way, through both programs, while one watches."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End by itself: exit 0 only if every file is stored with the right digest.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Where to play; by default a new temporary folder.")
    ] = None,
) -> None:
    """Run gateway and collector on this machine, drop sample mail into a mailbox, and watch what happens."""
    # Imported here, because a command should not wait for what it does not use.
    from satchel.cli.demo_play import play

    play(folder, once=once)
