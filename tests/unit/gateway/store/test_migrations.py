"""A database of an earlier version, with rows in it, becomes one of this version and keeps them."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from satchel.durable.database import open_engine, sqlite_url
from satchel.gateway.access import hash_key, new_key
from satchel.gateway.store import database
from satchel.gateway.store.calls import find_calls
from satchel.gateway.store.database import DATABASE_FILE, open_database
from satchel.gateway.store.deliveries import Lane, due_lanes, runs_to_begin
from satchel.gateway.store.keys import list_keys
from satchel.gateway.store.mailboxes import list_mailboxes
from satchel.gateway.store.pauses import resume
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, metadata
from satchel.gateway.store.webhooks import list_webhooks
from satchel.gateway.webhooks.schedule import Schedule

KEY = new_key(lambda count: b"\x01" * count)
NOW = "'2026-01-02 03:04:05.000000'"
ROWS_OF_0001 = (
    f"INSERT INTO mailboxes VALUES ('box', '{DEFAULT_ACCOUNT_ID}', 'a@e.test', 'A', 1, 'UTC', {NOW}, {NOW})",
    f"INSERT INTO mailboxes VALUES ('box2', '{DEFAULT_ACCOUNT_ID}', 'b@e.test', 'B', 1, 'UTC', {NOW}, NULL)",
    f"""INSERT INTO api_keys VALUES ('key', '{DEFAULT_ACCOUNT_ID}', 'K', 'satchel_x', '{hash_key(KEY)}',
        '["messages:read"]', NULL, {NOW}, NULL)""",
    "INSERT INTO api_key_mailboxes VALUES ('key', 'box')",
    f"""INSERT INTO messages VALUES (7, 'm', 'box', 'file', '<m@e.test>', 'c', {NOW}, '{{}}', '{{}}', '[]', '[]',
        'Subject', 1, 1, {NOW})""",
    f"INSERT INTO webhooks VALUES ('hook', '{DEFAULT_ACCOUNT_ID}', 'W', 'https://e.test/', 's', 1, {NOW}, NULL)",
    "INSERT INTO webhook_mailboxes VALUES ('hook', 'box')",
    f"INSERT INTO deliveries VALUES ('d', 'hook', 7, 'pending', 1, {NOW}, {NOW}, NULL, 500, 'http_500', 'no')",
    f"INSERT INTO delivery_attempts VALUES ('d', 1, {NOW}, {NOW}, 500, 'http_500', 'no')",
)


def at_revision(path: Path, revision: str) -> sa.Engine:
    """An engine of a database brought to a revision, as an earlier version left it."""
    engine = open_engine(sqlite_url(path))
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        config.attributes.update(connection=connection, version_table="alembic_version")
        command.upgrade(config, revision)
    return engine


@pytest.fixture
def old(tmp_path: Path) -> Path:
    engine = at_revision(tmp_path / DATABASE_FILE, "0001")
    with engine.begin() as connection:
        for statement in ROWS_OF_0001:
            connection.exec_driver_sql(statement)
    engine.dispose()
    return tmp_path


def test_nothing_is_lost_and_the_schema_is_as_if_it_were_new(old: Path) -> None:
    engine = open_database(old)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        counts = {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in metadata.sorted_tables
        }
    assert counts == {
        "accounts": 1,
        "mailboxes": 2,
        "api_keys": 1,
        "api_key_mailboxes": 1,
        "messages": 1,
        "webhooks": 1,
        "webhook_mailboxes": 1,
        "deliveries": 1,
        "delivery_attempts": 1,
        "delivery_lanes": 1,
        "rules": 0,
        "report_runs": 0,
        "audit_events": 0,
        "pending_messages": 0,
        "source_cursors": 0,
        "graph_subscriptions": 0,
        "catch_up_requests": 0,
        "content_facts": 0,
    }
    [(record, message)] = find_calls(engine, [(hash_key(KEY), "m")])
    assert record is not None
    assert message is not None
    assert (record.key_id, message.mailbox, message.locator) == ("key", "a@e.test", "file")
    assert [(row.account, row.created_by, row.last_used_at) for row in list_keys(engine)] == [("default", None, None)]
    assert [(row.address, row.indexed_at is not None) for row in list_mailboxes(engine)] == [
        ("a@e.test", True),
        ("b@e.test", False),
    ]
    assert [row.mailboxes for row in list_webhooks(engine)] == [("a@e.test",)]
    # Its secret lay open, so the webhook is paused, and nobody has to look.
    assert due_lanes(engine, None) == []
    assert list(runs_to_begin(engine, [Lane("hook", "box")])) == []
    with engine.begin() as connection:
        assert resume(connection, "hook", "cli:0", datetime.now(UTC))
    assert runs_to_begin(engine, due_lanes(engine, None)) == {Lane("hook", "box"): 1}
    engine.dispose()


def test_the_references_hold_afterwards(old: Path) -> None:
    engine = open_database(old)
    for refused in ("DELETE FROM mailboxes WHERE id = 'box'", "INSERT INTO api_key_mailboxes VALUES ('key', 'none')"):
        with engine.begin() as connection, pytest.raises(sa.exc.IntegrityError):
            connection.exec_driver_sql(refused)
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()


def test_a_row_that_refers_to_nothing_undoes_the_upgrade(old: Path) -> None:
    engine = open_engine(sqlite_url(old / DATABASE_FILE))
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("INSERT INTO api_key_mailboxes VALUES ('key', 'none')")
        connection.commit()
        connection.invalidate()
    with pytest.raises(sa.exc.IntegrityError, match="api_key_mailboxes"):
        open_database(old)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "0001"
        assert connection.exec_driver_sql("SELECT count(*) FROM mailboxes").scalar() == 2
    engine.dispose()


SECRET = "a-secret-that-lay-open"
REMOVED = "a-secret-of-long-ago"
ROWS_OF_0003 = (
    f"INSERT INTO mailboxes VALUES ('box', '{DEFAULT_ACCOUNT_ID}', 'a@e.test', 'A', 1, 'UTC', {NOW}, {NOW}, NULL)",
    *(
        f"""INSERT INTO webhooks (id, account_id, name, url, secret, enabled, created_at, removed_at) VALUES
            ('{name}', '{DEFAULT_ACCOUNT_ID}', '{name}', 'https://e.test/', {secret}, {enabled}, {NOW}, {removed})"""
        for name, secret, enabled, removed in (
            ("with", f"'{SECRET}'", 1, "NULL"),
            ("off", f"'{SECRET}'", 0, "NULL"),
            ("without", "NULL", 1, "NULL"),
            ("gone", "NULL", 0, NOW),
        )
    ),
    *(f"INSERT INTO webhook_mailboxes VALUES ('{name}', 'box')" for name in ("with", "off", "without", "gone")),
    f"""INSERT INTO messages VALUES (7, 'm', 'box', 'file', '<m@e.test>', 'c', {NOW}, '{{}}', '{{}}', '[]', '[]',
        'Subject', 1, 1, {NOW})""",
    *(
        f"""INSERT INTO deliveries VALUES
            ('{name}', '{name}', 7, '{status}', 1, {NOW}, {NOW}, NULL, 500, 'http_500', 'no')"""
        for name, status in (("with", "pending"), ("without", "pending"), ("gone", "cancelled"))
    ),
)


@pytest.fixture
def of_0003(tmp_path: Path) -> Path:
    engine = at_revision(tmp_path / DATABASE_FILE, "0003")
    with engine.begin() as connection:
        for statement in ROWS_OF_0003:
            connection.exec_driver_sql(statement)
    # What an older version has left in pages that nothing is in any more.
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA secure_delete=OFF")
        connection.exec_driver_sql("CREATE TABLE remains (secret TEXT)")
        connection.exec_driver_sql(f"INSERT INTO remains VALUES ('{REMOVED * 20_000}')")
        connection.exec_driver_sql("DROP TABLE remains")
    engine.dispose()
    before = (tmp_path / DATABASE_FILE).read_bytes()
    assert SECRET.encode() in before
    assert REMOVED.encode() in before
    return tmp_path


def test_webhooks_whose_secrets_lay_open_are_paused(of_0003: Path) -> None:
    engine = open_database(of_0003)
    rows = {row.name: row for row in list_webhooks(engine)}
    assert {name: (row.has_secret, row.paused_at is not None) for name, row in rows.items()} == {
        "with": (False, True),
        "off": (False, True),
        "without": (False, False),
    }
    for advice in ("webhooks secret set", "webhooks resume"):
        assert advice in (rows["with"].pause_note or "")
    assert rows["without"].pause_note is None
    assert (rows["with"].enabled, rows["off"].enabled, rows["with"].by_rules) == (True, False, False)
    assert (rows["with"].schedule, rows["with"].max_in_flight, rows["with"].include_custom_fields) == (
        Schedule.STANDARD,
        1,
        True,
    )
    engine.dispose()


def test_secrets_that_lay_open_are_gone_from_the_files(of_0003: Path) -> None:
    # Somebody has it open, so that SQLite keeps its log beside it and does not write the file by itself.
    with sqlite3.connect(of_0003 / DATABASE_FILE) as other:
        other.execute("SELECT count(*) FROM webhooks").fetchone()
        engine = open_database(of_0003)
        written = b"".join(path.read_bytes() for path in of_0003.iterdir())
    assert b"https://e.test/" in written
    assert SECRET.encode() not in written
    assert REMOVED.encode() not in written
    engine.dispose()
    other.close()


def test_deliveries_have_the_mailbox_of_their_message(of_0003: Path) -> None:
    engine = open_database(of_0003)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT id, mailbox_id, status FROM deliveries ORDER BY id").all()
        waiting = connection.exec_driver_sql("SELECT webhook_id, mailbox_id FROM delivery_lanes ORDER BY 1").all()
    assert found == [("gone", "box", "cancelled"), ("with", "box", "pending"), ("without", "box", "pending")]
    assert waiting == [("with", "box"), ("without", "box")]
    engine.dispose()


def test_down_to_0003_and_up_again(of_0003: Path) -> None:
    open_database(of_0003).dispose()
    downgraded(of_0003, "0003")
    engine = open_engine(sqlite_url(of_0003 / DATABASE_FILE))
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT name, secret, enabled FROM webhooks ORDER BY name").all()
    # The one that is paused would be sent to without its secret.
    assert found == [("gone", None, 0), ("off", None, 0), ("with", None, 0), ("without", None, 1)]
    engine.dispose()
    engine = open_database(of_0003)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert {row.name: row.enabled for row in list_webhooks(engine)} == {"with": False, "off": False, "without": True}
    engine.dispose()


def test_the_way_back(old: Path) -> None:
    open_database(old).dispose()
    downgraded(old, "0001")
    engine = open_engine(sqlite_url(old / DATABASE_FILE))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM mailboxes").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    engine.dispose()


def downgraded(folder: Path, revision: str) -> None:
    engine = open_engine(sqlite_url(folder / DATABASE_FILE))
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.rollback()
        with connection.begin():
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes.update(connection=connection, version_table="alembic_version")
            command.downgrade(config, revision)
        connection.invalidate()
    engine.dispose()
