"""API keys in the store: created, listed, revoked. The key itself is never written down."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa

from satchel.contract.scopes import Scope
from satchel.gateway.access import hash_key, new_key, short_identifier
from satchel.gateway.store.mailboxes import mailbox_ids
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, api_key_mailboxes, api_keys, mailboxes


class UnknownKey(LookupError):
    """No key has this id or short identifier, or more than one has."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it is shown: everything but the key."""

    key_id: str
    name: str
    short_identifier: str
    scopes: tuple[str, ...]
    mailboxes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_usable(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


def create_key(
    engine: sa.Engine,
    name: str,
    *,
    scopes: Collection[Scope],
    mailboxes: Collection[str],
    expires_at: datetime | None,
) -> tuple[str, KeyRow]:
    """Make a key; it is returned here and never again. All its properties are fixed from now on.

    `mailboxes` are addresses. Raises UnknownMailbox, or ValueError for a key that could never be used.
    """
    now = datetime.now(UTC)
    if not name.strip() or not scopes or not mailboxes:
        raise ValueError("A key needs a name, at least one scope and at least one mailbox.")
    if expires_at is not None and expires_at <= now:
        raise ValueError("The key would have expired already: choose a later time.")
    key, key_id = new_key(), str(uuid4())
    row = {
        "id": key_id,
        "account_id": DEFAULT_ACCOUNT_ID,
        "name": name.strip(),
        "short_identifier": short_identifier(key),
        "key_hash": hash_key(key),
        "scopes": sorted(scopes),
        "expires_at": expires_at,
        "created_at": now,
    }
    with engine.begin() as connection:
        allowed = mailbox_ids(connection, mailboxes)
        connection.execute(sa.insert(api_keys), [row])
        connection.execute(
            sa.insert(api_key_mailboxes),
            [{"key_id": key_id, "mailbox_id": mailbox_id} for mailbox_id in allowed.values()],
        )
        return key, _rows(connection, api_keys.c.id == key_id)[0]


def list_keys(engine: sa.Engine) -> Sequence[KeyRow]:
    """All keys, oldest first, revoked and expired ones too."""
    with engine.connect() as connection:
        return _rows(connection, sa.true())


def revoke_key(engine: sa.Engine, identifier: str) -> KeyRow:
    """End a key at once, given its id or its short identifier. Raises UnknownKey. Revoking twice changes nothing."""
    with engine.begin() as connection:
        condition = sa.or_(api_keys.c.id == identifier, api_keys.c.short_identifier == identifier)
        found = _rows(connection, condition)
        if len(found) != 1:
            raise UnknownKey(
                f"{len(found) or 'No'} keys are called {identifier!r}. "
                "Name one by its id or short identifier: satchel gateway keys list"
            )
        key_id = found[0].key_id
        update = sa.update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        connection.execute(update.values(revoked_at=datetime.now(UTC)))
        return _rows(connection, api_keys.c.id == key_id)[0]


def _rows(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[KeyRow]:
    found = connection.execute(sa.select(api_keys).where(condition).order_by(api_keys.c.created_at)).all()
    allowed: dict[str, list[str]] = defaultdict(list)
    joined = sa.select(api_key_mailboxes.c.key_id, mailboxes.c.address).join_from(api_key_mailboxes, mailboxes)
    for key_id, address in connection.execute(joined.order_by(mailboxes.c.address)):
        allowed[key_id].append(address)
    return [
        KeyRow(
            key_id=row.id,
            name=row.name,
            short_identifier=row.short_identifier,
            scopes=tuple(row.scopes),
            mailboxes=tuple(allowed[row.id]),
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
        )
        for row in found
    ]
