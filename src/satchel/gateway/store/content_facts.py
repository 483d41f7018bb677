"""What earlier complete reads found out about attachments: sizes and digests, never content."""

from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from satchel.gateway.store.tables import content_facts
from satchel.mail.host import ContentFact

_KEY = (content_facts.c.account_id, content_facts.c.key)
# How exactly the last use is known: a list that is asked for often is not written down each time.
_USE_STEP = timedelta(days=1)


def find_facts(engine: sa.Engine, account_id: str, keys: Collection[str], now: datetime) -> dict[str, ContentFact]:
    """What is known of these, by their keys; it counts as used now. SQLite takes 32,766 keys at once."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(content_facts).where(_are(account_id, keys))).all()
    aged = [row.key for row in rows if row.used_at < now - _USE_STEP]
    if aged:
        with engine.begin() as connection:
            connection.execute(sa.update(content_facts).where(_are(account_id, aged)).values(used_at=now))
    return {row.key: ContentFact(row.size, row.sha256) for row in rows}


def save_fact(engine: sa.Engine, account_id: str, key: str, fact: ContentFact | None, now: datetime) -> None:
    """Write it down anew, or over what was known; None forgets it."""
    with engine.begin() as connection:
        if fact is None:
            connection.execute(sa.delete(content_facts).where(_are(account_id, [key])))
            return
        values = {"size": fact.size, "sha256": fact.sha256, "used_at": now}
        insert = sqlite.insert(content_facts).values(account_id=account_id, key=key, **values)
        connection.execute(insert.on_conflict_do_update(index_elements=_KEY, set_=values))


def remove_unused_facts(engine: sa.Engine, before: datetime, limit: int) -> int:
    """Remove at most so many that were last used before an instant; how many it were."""
    old = sa.select(*_KEY).where(content_facts.c.used_at < before).limit(limit)
    with engine.begin() as connection:
        return connection.execute(sa.delete(content_facts).where(sa.tuple_(*_KEY).in_(old))).rowcount


def _are(account_id: str, keys: Collection[str]) -> sa.ColumnElement[bool]:
    return sa.and_(content_facts.c.account_id == account_id, content_facts.c.key.in_(keys))
