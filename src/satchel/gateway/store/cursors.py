"""How far a mail source's walks have come, in the source's own words."""

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from satchel.gateway.store.tables import source_cursors


def read_cursor(engine: sa.Engine, account_id: str, key: str) -> str | None:
    with engine.connect() as connection:
        return connection.scalar(sa.select(source_cursors.c.value).where(_is_cursor(account_id, key)))


def write_cursor(engine: sa.Engine, account_id: str, key: str, value: str | None) -> None:
    """None forgets it."""
    with engine.begin() as connection:
        if value is None:
            connection.execute(sa.delete(source_cursors).where(_is_cursor(account_id, key)))
            return
        insert = sqlite.insert(source_cursors).values(account_id=account_id, key=key, value=value)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=[source_cursors.c.account_id, source_cursors.c.key], set_={"value": value}
            )
        )


def _is_cursor(account_id: str, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(source_cursors.c.account_id == account_id, source_cursors.c.key == key)
