"""The option that names satchel.toml, and what keeps a program from starting, told as the command's error."""

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def startable(data_dir: Path) -> Iterator[None]:
    """Run a program or open its database. What a person can mend is raised as CommandError."""
    # Imported here, because commands that only talk to a server need none of it.
    from alembic.util.exc import CommandError as RevisionUnknown
    from sqlalchemy.exc import DatabaseError

    from satchel.process.lock import DataFolderInUse
    from satchel.process.server import CannotListen

    told: Exception
    try:
        yield
    except ExceptionGroup as group:
        # A program's tasks end together, each with what it met.
        mine, others = group.split((SettingsError, CannotListen))
        if mine is None or others is not None:
            raise
        told = mine.exceptions[0]
    except (SettingsError, DataFolderInUse, CannotListen) as error:
        told = error
    except DatabaseError as error:
        raise CommandError(
            f"A database in {data_dir} cannot be used: {error.orig}. "
            "Check the folder and its disk; restore the file from a backup if it is damaged."
        ) from None
    except RevisionUnknown:
        raise CommandError(
            f"A database in {data_dir} was written by a newer version of Satchel. Use that version."
        ) from None
    except BrokenPipeError:
        # Whoever reads what is printed wants no more of it.
        raise
    except OSError as error:
        raise CommandError(f"{error.filename or data_dir} cannot be used: {error.strerror or error}.") from None
    else:
        return
    raise CommandError(str(told)) from None
