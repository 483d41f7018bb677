"""The one question that every API call asks of the store: whose key is this, and may it see this message?"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPICursor

from satchel.gateway.access import KeyRecord
from satchel.gateway.store.prepared import Converter, Prepared, driver_cursor, prepare, reader
from satchel.gateway.store.tables import api_key_mailboxes, api_keys, mailboxes, messages
from satchel.mail.source import MessageRef

# From the key over its allowlist to the message, in this order (outer joins keep it): for each allowed mailbox one
# look into the index for that message there. A message in another mailbox is never touched, so that its existence
# shows neither in what comes back nor in how long it takes.
_CALL = (
    sa.select(
        api_keys.c.id,
        api_keys.c.account_id,
        api_keys.c.key_hash,
        api_keys.c.scopes,
        api_keys.c.expires_at,
        api_keys.c.revoked_at,
        messages.c.message_id,
        messages.c.locator,
        mailboxes.c.address,
    )
    .select_from(api_keys)
    .outerjoin(api_key_mailboxes, api_key_mailboxes.c.key_id == api_keys.c.id)
    .outerjoin(
        messages,
        sa.and_(
            messages.c.message_id == sa.bindparam("message_id"),
            messages.c.mailbox_id == api_key_mailboxes.c.mailbox_id,
        ),
    )
    .outerjoin(mailboxes, mailboxes.c.id == messages.c.mailbox_id)
    .where(api_keys.c.key_hash == sa.bindparam("key_hash"))
    .order_by(messages.c.message_id.is_(None))
    .limit(1)
)


Call = tuple[str, str | None]
Found = tuple[KeyRecord | None, MessageRef | None]


def find_calls(engine: sa.Engine, calls: Sequence[Call]) -> list[Found]:
    """For each hash of a key and message id: the key with this hash, and the message if that key's allowlist covers it.

    A call about no message asks for None, and finds none. Judges neither time nor scope.
    """
    question = _question(engine.dialect)
    with engine.connect() as connection, driver_cursor(connection) as cursor:
        return [_find(cursor, question, *call) for call in calls]


@dataclass(frozen=True, slots=True)
class _Question:
    """The statement, and what makes Python's values of the columns that a driver gives otherwise."""

    prepared: Prepared
    as_json: Converter
    as_instant: Converter


@lru_cache(maxsize=8)
def _question(dialect: sa.Dialect) -> _Question:
    return _Question(
        prepare(_CALL, dialect, "key_hash", "message_id"),
        reader(api_keys.c.scopes, dialect),
        reader(api_keys.c.expires_at, dialect),
    )


def _find(cursor: DBAPICursor, question: _Question, key_hash: str, message_id: str | None) -> Found:
    prepared = question.prepared
    cursor.execute(prepared.sql, prepared.parameters(key_hash=key_hash, message_id=message_id))
    row = cursor.fetchone()
    if row is None:
        return None, None
    key_id, account_id, found_hash, scopes, expires_at, revoked_at, found_id, locator, address = row
    record = KeyRecord(
        key_id,
        account_id,
        found_hash,
        frozenset(question.as_json(scopes)),
        question.as_instant(expires_at),
        question.as_instant(revoked_at),
    )
    return record, None if found_id is None else MessageRef(address, found_id, locator)
