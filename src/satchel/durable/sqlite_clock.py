"""Milliseconds for SQLite libraries that count in seconds only, where the durable engine relies on them."""

import sqlite3
import time
from typing import Any

import sqlalchemy as sa

# `unixepoch('subsec')` came with SQLite 3.42; before, it is NULL.
_KNOWS_SUBSEC = (3, 42, 0)


def give_milliseconds(engine: sa.Engine) -> None:
    """Teach `unixepoch('subsec')` to the connections of an engine, if its SQLite does not know it.

    DBOS 3.4 takes Python 3.12 for a sign of SQLite 3.42 (its `get_sqlite_timestamp_expr`), but a Python built on
    Debian 12 has the system's 3.40: the engine would not launch.
    """
    if engine.dialect.name == "sqlite" and sqlite3.sqlite_version_info < _KNOWS_SUBSEC:
        sa.event.listen(engine, "connect", _define)


def _define(connection: Any, _record: Any) -> None:
    connection.create_function("unixepoch", 1, _seconds)


def _seconds(_modifier: str) -> float:
    return time.time()
