"""Opens and migrates the SQL databases that a program keeps its own rows in.

It knows SQLite's pragmas and how two starting processes stay out of each other's way; it knows no table.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command, context
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import URL, make_url

BUSY_TIMEOUT_SECONDS = 30
MIGRATION_LOCK_ID = 0x5A7C4E1


def sqlite_url(path: Path) -> str:
    """The database URL of a SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def open_engine(url: str, *, synchronous: str = "FULL") -> sa.Engine:
    """An engine whose commits are durable before they return.

    For SQLite: WAL, foreign keys, a busy timeout of 30 s, writers that take their lock at the first writing statement
    (so that they wait instead of failing), and a file that only its owner can read, in a folder that only its owner can
    enter. `synchronous` is SQLite's
    pragma; `NORMAL` gives up the last commits on a power cut (never consistency) and is only for rows that others can
    rebuild. Parameters of failing statements are kept out of error messages, because they hold names and addresses.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, hide_parameters=True, pool_pre_ping=True)
    if not parsed.database or parsed.database == ":memory:":
        message = "A SQLite database must be a file here: use sqlite:////absolute/path/name.db."
        raise ValueError(message)
    _make_private_file(Path(parsed.database))
    engine = sa.create_engine(parsed, hide_parameters=True)

    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")

    sa.event.listen(engine, "connect", prepare)
    return engine


def open_private(path: Path, migrations: Path) -> sa.Engine:
    """A SQLite file of ours, made if missing and brought to the newest schema; works beside a running program.

    As `open_engine` and `migrate`: readable by its owner only, because it holds names, addresses and secrets.
    """
    engine = open_engine(sqlite_url(path))
    try:
        migrate(engine, migrations)
    except BaseException:
        engine.dispose()
        raise
    return engine


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter, and what is missing above it; the new names are on disk then."""
    new: list[Path] = []
    while not folder.is_dir():
        new.append(folder)
        folder = folder.parent
    for one in reversed(new):
        one.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(one.parent)


def _make_private_file(path: Path) -> None:
    make_private_folder(path.parent)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        # Not over a descriptor: closing one would drop the locks that SQLite holds on the file in this process.
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    else:
        _sync_folder(path.parent)
        # The folder may be new and another's work, and lie in one that can be entered but not read.
        with suppress(PermissionError):
            _sync_folder(path.parent.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def migrate(engine: sa.Engine, script_location: Path, *, version_table: str = "alembic_version") -> None:
    """Bring a database to the newest revision of an Alembic folder, whose `env.py` calls `run_revisions()`.

    Safe when several processes start at once: one migrates, the others wait and find nothing to do. On SQLite the
    whole upgrade is one transaction, after which the file is written anew, so that nothing is left in it of what older
    versions kept there. Where there is nothing to do, nobody waits.
    """
    config = Config()
    config.set_main_option("script_location", str(script_location).replace("%", "%%"))
    before = _revisions(engine, version_table)
    if before == set(ScriptDirectory.from_config(config).get_heads()):
        return
    with _exclusive(engine) as connection:
        config.attributes["connection"] = connection
        config.attributes["version_table"] = version_table
        command.upgrade(config, "head")
    if before and engine.dialect.name == "sqlite":
        _write_anew(engine)


def _revisions(engine: sa.Engine, version_table: str) -> set[str]:
    """None for a database that is new."""
    with engine.connect() as connection:
        return set(MigrationContext.configure(connection, opts={"version_table": version_table}).get_current_heads())


def _write_anew(engine: sa.Engine) -> None:
    # Another process may be at work on the file, or the disk be full: the upgrade stands all the same.
    with suppress(sa.exc.OperationalError), engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("VACUUM")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


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
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            with _without_foreign_keys(connection):
                yield connection
        else:
            with connection.begin():
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:id)"), {"id": MIGRATION_LOCK_ID})
                yield connection


@contextmanager
def _without_foreign_keys(connection: sa.Connection) -> Iterator[None]:
    """A transaction in which a table can be made anew under the rows that refer to it, which is how SQLite's tables
    are altered (sqlite.org/lang_altertable.html, section 7). What refers to nothing at the end undoes it all.
    """
    try:
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.rollback()
        with connection.begin():
            # The driver begins a transaction at INSERT, UPDATE and DELETE only: CREATE TABLE would commit at once.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield
            dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            if dangling is not None:
                found = ValueError(f"rows of its table {dangling[0]} would refer to nothing after the upgrade")
                raise sa.exc.IntegrityError(None, None, found)
    finally:
        # Not for anybody else: what it does not check would stay unchecked.
        connection.invalidate()
