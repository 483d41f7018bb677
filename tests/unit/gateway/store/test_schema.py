import sqlite3
import stat
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from satchel.gateway.store.database import DATABASE_FILE, open_database, read_something
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, accounts, metadata


def test_the_revisions_make_what_the_code_expects(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.scalars(sa.select(accounts.c.id)).all() == [DEFAULT_ACCOUNT_ID]


def test_opening_again_changes_nothing(engine: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "data" / DATABASE_FILE
    with sqlite3.connect(file) as connection:
        before = list(connection.iterdump())
    again = open_database(tmp_path / "data")
    again.dispose()
    assert list(connection.iterdump()) == before
    connection.close()


def test_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    open_database(tmp_path / "data").dispose()
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / DATABASE_FILE).stat().st_mode) == 0o600


def test_a_database_that_is_away(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/no/such/folder.db")
    with pytest.raises(sa.exc.SQLAlchemyError):
        read_something(engine)


def test_a_database_that_is_broken_or_locked(engine: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "data" / DATABASE_FILE
    engine.dispose()
    with sqlite3.connect(file) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        impatient = sa.create_engine(f"sqlite:///{file}", connect_args={"timeout": 0})
        with pytest.raises(sa.exc.OperationalError):
            read_something(impatient)
        impatient.dispose()
        other.rollback()
    other.close()
    engine.dispose()
    file.write_bytes(b"\xff" * file.stat().st_size)
    with pytest.raises(sa.exc.DatabaseError):
        read_something(engine)


def test_naive_times_are_refused(engine: sa.Engine) -> None:
    row = {"id": "x", "name": "x", "created_at": datetime.fromisoformat("2026-01-01T00:00:00")}
    with engine.begin() as connection, pytest.raises(sa.exc.StatementError, match="time zone"):
        connection.execute(sa.insert(accounts), [row])
