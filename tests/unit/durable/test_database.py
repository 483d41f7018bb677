"""Opening and migrating databases."""

import os
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from satchel.durable.database import make_private_folder, migrate, open_engine, open_private, sqlite_url

REVISION = """
import sqlalchemy as sa
from alembic import op
revision = "{number}"
down_revision = {below}
def upgrade() -> None:
    op.create_table("t{number}", sa.Column("id", sa.Integer, primary_key=True))
    {more}
def downgrade() -> None:
    op.drop_table("t{number}")
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "100% migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text("from satchel.durable.database import run_revisions\nrun_revisions()\n")
    add_revision(folder, 1)
    return folder


def add_revision(folder: Path, number: int, more: str = "pass") -> None:
    below = repr(str(number - 1)) if number > 1 else None
    text = REVISION.format(number=number, below=below, more=more)
    (folder / "versions" / f"{number}.py").write_text(text)


def tables(engine: sa.Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names())


def test_what_a_connection_is_like(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "folder" / "a.db"))
    with engine.connect() as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in pragmas]
    engine.dispose()
    assert values == ["wal", 2, 1, 30_000]
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700


def test_a_failing_statement_does_not_tell_its_parameters(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "a.db"))
    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError) as caught:
        connection.execute(sa.text("SELECT :name FROM nowhere"), {"name": "a secret name"})
    engine.dispose()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_memory_is_no_place_for_what_must_last(url: str) -> None:
    with pytest.raises(ValueError, match="must be a file"):
        open_engine(url)


def test_migrating_twice_and_further(tmp_path: Path, scripts: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "a.db"))
    for _ in range(2):
        migrate(engine, scripts)
    assert tables(engine) == {"alembic_version", "t1"}
    add_revision(scripts, 2)
    migrate(engine, scripts)
    assert tables(engine) == {"alembic_version", "t1", "t2"}
    engine.dispose()


def test_what_is_migrated_already_waits_for_no_writer(tmp_path: Path, scripts: Path) -> None:
    """A command beside a running program neither waits for its writers nor keeps them waiting."""
    path = tmp_path / "a.db"
    open_private(path, scripts).dispose()
    writer = open_engine(sqlite_url(path))
    with writer.connect() as connection, connection.begin():
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        opened = open_private(path, scripts)
        assert tables(opened) == {"alembic_version", "t1"}
        opened.dispose()
    writer.dispose()


def test_a_revision_that_fails_leaves_the_schema_as_it_was(tmp_path: Path, scripts: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "a.db"))
    migrate(engine, scripts)
    add_revision(scripts, 2, "raise RuntimeError")
    with pytest.raises(RuntimeError):
        migrate(engine, scripts)
    assert tables(engine) == {"alembic_version", "t1"}
    engine.dispose()


def test_several_at_once(tmp_path: Path, scripts: Path) -> None:
    """Connections stand for processes: the lock is the database's. Alembic's own context is one per process."""
    engine = open_engine(sqlite_url(tmp_path / "a.db"))
    with engine.connect() as holder, holder.begin():
        holder.exec_driver_sql("BEGIN IMMEDIATE")
        waiting = threading.Thread(target=migrate, args=(engine, scripts))
        waiting.start()
        assert "t1" not in tables(engine)
    waiting.join()
    assert tables(engine) == {"alembic_version", "t1"}
    engine.dispose()


def test_only_the_owner_can_read_also_what_was_there(tmp_path: Path, scripts: Path) -> None:
    path = tmp_path / "folder" / "a.db"
    open_private(path, scripts).dispose()
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    engine = open_private(path, scripts)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM t1")
        assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    engine.dispose()


def test_new_folders_are_on_disk_with_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    whole = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        whole(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    make_private_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino]
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    make_private_folder(tmp_path / "a" / "b")
    assert len(synced) == 2
