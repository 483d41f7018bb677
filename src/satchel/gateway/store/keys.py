"""API keys in the store: created, listed, shown, revoked. The key itself is never written down."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa

from satchel.contract.mailboxes import Mailbox
from satchel.contract.scopes import Scope
from satchel.gateway.access import hash_key, new_key, short_identifier
from satchel.gateway.audit.actions import UNKNOWN_ACTOR, Action
from satchel.gateway.store.audit import BY_NOBODY_KNOWN, Acting, write_act
from satchel.gateway.store.mailboxes import mailbox_ids
from satchel.gateway.store.tables import accounts, api_key_mailboxes, api_keys, mailboxes


class UnknownKey(LookupError):
    """No key has this id or short identifier, or more than one has."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it is shown: everything but the key. `account` is its account's name; `last_used_at` is a few seconds
    late."""

    key_id: str
    account: str
    name: str
    short_identifier: str
    scopes: tuple[str, ...]
    mailboxes: tuple[str, ...]
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_usable(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


def create_key(
    engine: sa.Engine,
    name: str,
    *,
    scopes: Collection[Scope],
    mailboxes: Collection[str],
    expires_at: datetime | None,
    acting: Acting = BY_NOBODY_KNOWN,
) -> tuple[str, KeyRow]:
    """Make a key of an account; it is returned here and never again. All its properties are fixed from now on.

    `mailboxes` are addresses of the account. Raises UnknownMailbox, or ValueError for a key that could never be used.
    """
    now = datetime.now(UTC)
    if not name.strip() or not scopes or not mailboxes:
        raise ValueError("A key needs a name, at least one scope and at least one mailbox.")
    if expires_at is not None and expires_at <= now:
        raise ValueError("The key would have expired already: choose a later time.")
    key, key_id = new_key(), str(uuid4())
    row = {
        "id": key_id,
        "account_id": acting.account_id,
        "name": name.strip(),
        "short_identifier": short_identifier(key),
        "key_hash": hash_key(key),
        "scopes": sorted(scopes),
        "expires_at": expires_at,
        "created_at": now,
        "created_by": acting.actor,
    }
    with engine.begin() as connection:
        allowed = mailbox_ids(connection, acting.account_id, mailboxes)
        connection.execute(sa.insert(api_keys), [row])
        connection.execute(
            sa.insert(api_key_mailboxes),
            [{"key_id": key_id, "mailbox_id": mailbox_id} for mailbox_id in allowed.values()],
        )
        write_act(connection, acting, Action.KEY_CREATED, key_id, now)
        return key, _rows(connection, api_keys.c.id == key_id)[0]


def list_keys(engine: sa.Engine, account_id: str | None = None) -> Sequence[KeyRow]:
    """All keys, or those of one account, oldest first, revoked and expired ones too."""
    with engine.connect() as connection:
        return _rows(connection, sa.true() if account_id is None else api_keys.c.account_id == account_id)


def find_key(engine: sa.Engine, identifier: str, account_id: str | None = None) -> KeyRow:
    """The key with this id or short identifier, in one account or in any. Raises UnknownKey."""
    with engine.connect() as connection:
        return _find(connection, identifier, account_id)


def allowed_addresses(engine: sa.Engine, key_id: str) -> Sequence[str]:
    """Addresses of the mailboxes that a key is for."""
    query = sa.select(mailboxes.c.address).join_from(api_key_mailboxes, mailboxes)
    with engine.connect() as connection:
        return connection.scalars(query.where(api_key_mailboxes.c.key_id == key_id).order_by(mailboxes.c.address)).all()


def allowed_mailboxes(engine: sa.Engine, key_id: str) -> Sequence[Mailbox]:
    """The mailboxes that a key is for, by address, as they are told to it."""
    query = (
        sa.select(mailboxes.c.id, mailboxes.c.name, mailboxes.c.address, mailboxes.c.active, mailboxes.c.time_zone)
        .join_from(api_key_mailboxes, mailboxes)
        .where(api_key_mailboxes.c.key_id == key_id)
        .order_by(mailboxes.c.address)
    )
    with engine.connect() as connection:
        return [
            Mailbox(
                mailbox_id=row.id,
                mailbox_name=row.name,
                mailbox_email=row.address,
                active=row.active,
                time_zone=row.time_zone,
            )
            for row in connection.execute(query)
        ]


def revoke_key(
    engine: sa.Engine, identifier: str, *, account_id: str | None = None, actor: str = UNKNOWN_ACTOR
) -> KeyRow:
    """End a key at once, given its id or its short identifier. Raises UnknownKey. Revoking twice changes nothing."""
    now = datetime.now(UTC)
    with engine.begin() as connection:
        key_id = _find(connection, identifier, account_id).key_id
        update = sa.update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        ended = connection.execute(update.values(revoked_at=now).returning(api_keys.c.account_id)).scalar_one_or_none()
        if ended is not None:
            write_act(connection, Acting(ended, actor), Action.KEY_REVOKED, key_id, now)
        return _rows(connection, api_keys.c.id == key_id)[0]


def _find(connection: sa.Connection, identifier: str, account_id: str | None) -> KeyRow:
    conditions = [sa.or_(api_keys.c.id == identifier, api_keys.c.short_identifier == identifier)]
    if account_id is not None:
        conditions.append(api_keys.c.account_id == account_id)
    found = _rows(connection, *conditions)
    if len(found) != 1:
        raise UnknownKey(
            f"{len(found) or 'No'} keys are called {identifier!r}. "
            "Name one by its id or short identifier: satchel gateway keys list"
        )
    return found[0]


def _rows(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[KeyRow]:
    query = sa.select(api_keys, accounts.c.name.label("account")).join_from(api_keys, accounts)
    found = connection.execute(query.where(*conditions).order_by(api_keys.c.created_at)).all()
    allowed: dict[str, list[str]] = defaultdict(list)
    joined = sa.select(api_key_mailboxes.c.key_id, mailboxes.c.address).join_from(api_key_mailboxes, mailboxes)
    for key_id, address in connection.execute(joined.order_by(mailboxes.c.address)):
        allowed[key_id].append(address)
    return [
        KeyRow(
            key_id=row.id,
            account=row.account,
            name=row.name,
            short_identifier=row.short_identifier,
            scopes=tuple(row.scopes),
            mailboxes=tuple(allowed[row.id]),
            created_at=row.created_at,
            created_by=row.created_by,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            last_used_at=row.last_used_at,
        )
        for row in found
    ]
