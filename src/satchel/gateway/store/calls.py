"""The one question that every API call asks of the store: whose key is this, and may it see this message?"""

from collections.abc import Sequence

import sqlalchemy as sa

from satchel.gateway.access import KeyRecord
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


Call = tuple[str, str]
Found = tuple[KeyRecord | None, MessageRef | None]


def find_calls(engine: sa.Engine, calls: Sequence[Call]) -> list[Found]:
    """For each hash of a key and message id: the key with this hash, and the message if that key's allowlist covers it.

    Judges neither time nor scope.
    """
    with engine.connect() as connection:
        return [_find(connection, *call) for call in calls]


def _find(connection: sa.Connection, key_hash: str, message_id: str) -> Found:
    row = connection.execute(_CALL, {"key_hash": key_hash, "message_id": message_id}).one_or_none()
    if row is None:
        return None, None
    record = KeyRecord(row.id, row.account_id, row.key_hash, frozenset(row.scopes), row.expires_at, row.revoked_at)
    message = None if row.message_id is None else MessageRef(row.address, row.message_id, row.locator)
    return record, message
