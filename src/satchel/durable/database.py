"""Opens and migrates the SQL databases that a program keeps its own rows in.

It knows SQLite's pragmas and how two starting processes stay out of each other's way; it knows no table.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command, context
from alembic.config import Config
from sqlalchemy.engine import URL, make_url

BUSY_TIMEOUT_SECONDS = 30
MIGRATION_LOCK_ID = 0x5A7C4E1


def sqlite_url(path: Path) -> str:
    """The database URL of a SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def open_engine(url: str, *, synchronous: str = "FULL") -> sa.Engine:
    """An engine whose commits are durable before they return.

    For SQLite: WAL, foreign keys, a busy timeout of 30 s, writers that take their lock at the first writing statement
    (so that they wait instead of failing), and a folder that only its owner can enter. `synchronous` is SQLite's
    pragma; `NORMAL` gives up the last commits on a power cut (never consistency) and is only for rows that others can
    rebuild. Parameters of failing statements are kept out of error messages, because they hold names and addresses.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, hide_parameters=True, pool_pre_ping=True)
    if not parsed.database or parsed.database == ":memory:":
        message = "A SQLite database must be a file here: use sqlite:////absolute/path/name.db."
        raise ValueError(message)
    Path(parsed.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, hide_parameters=True)

    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")

    sa.event.listen(engine, "connect", prepare)
    return engine


def migrate(engine: sa.Engine, script_location: Path, *, version_table: str = "alembic_version") -> None:
    """Bring a database to the newest revision of an Alembic folder, whose `env.py` calls `run_revisions()`.

    Safe when several processes start at once: one migrates, the others wait and find nothing to do. On SQLite the
    whole upgrade is one transaction.
    """
    config = Config()
    config.set_main_option("script_location", str(script_location).replace("%", "%%"))
    with _exclusive(engine) as connection:
        config.attributes["connection"] = connection
        config.attributes["version_table"] = version_table
        command.upgrade(config, "head")


def run_revisions() -> None:
    """The whole of an Alembic `env.py`: run the revisions on the connection that `migrate` holds."""
    attributes = context.config.attributes
    context.configure(
        connection=attributes["connection"], version_table=attributes["version_table"], render_as_batch=True
    )
    with context.begin_transaction():
        context.run_migrations()


@contextmanager
def _exclusive(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in a transaction that no other migrating process is in."""
    with engine.connect() as connection, connection.begin():
        if engine.dialect.name == "sqlite":
            # The driver begins a transaction at INSERT, UPDATE and DELETE only: CREATE TABLE would commit at once.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:id)"), {"id": MIGRATION_LOCK_ID})
        yield connection
