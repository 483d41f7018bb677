"""Accounts in the store: a row for each name that the settings know, made when it is first needed and kept for good."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from satchel.gateway.audit.actions import Action
from satchel.gateway.store.audit import Acting, write_act
from satchel.gateway.store.tables import accounts, api_keys, mailboxes, webhooks


class UnknownAccount(LookupError):
    """No account has this name."""


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account and how much it has, revoked keys and removed webhooks not counted."""

    account_id: str
    name: str
    created_at: datetime
    mailboxes: int
    keys: int
    webhooks: int


def register_accounts(engine: sa.Engine, names: Collection[str], *, actor: str) -> dict[str, str]:
    """The ids of the accounts with these names, made where they are missing."""
    found = _ids(engine, names)
    missing = sorted(set(names) - found.keys())
    if not missing:
        return found
    now = datetime.now(UTC)
    with engine.begin() as connection:
        for name in missing:
            account_id = str(uuid4())
            row = {"id": account_id, "name": name, "created_at": now}
            # Another process may have been faster.
            insert = sqlite.insert(accounts).on_conflict_do_nothing(index_elements=[accounts.c.name])
            if connection.execute(insert, row).rowcount == 1:
                write_act(connection, Acting(account_id, actor), Action.ACCOUNT_ADDED, account_id, now)
    return _ids(engine, names)


def find_account(engine: sa.Engine, name: str) -> str:
    """The id of the account with this name. Raises UnknownAccount."""
    found = _ids(engine, [name])
    if name not in found:
        raise UnknownAccount(f"No account is called {name!r}. Those there are: satchel gateway accounts list")
    return found[name]


def list_accounts(engine: sa.Engine) -> Sequence[AccountRow]:
    """All accounts, oldest first, also those that the settings no longer name."""
    counted = (
        _count(mailboxes),
        _count(api_keys, api_keys.c.revoked_at.is_(None)),
        _count(webhooks, webhooks.c.removed_at.is_(None)),
    )
    query = sa.select(accounts.c.id, accounts.c.name, accounts.c.created_at, *counted)
    with engine.connect() as connection:
        return [AccountRow(*row) for row in connection.execute(query.order_by(accounts.c.created_at, accounts.c.name))]


def _ids(engine: sa.Engine, names: Collection[str]) -> dict[str, str]:
    query = sa.select(accounts.c.name, accounts.c.id).where(accounts.c.name.in_(names))
    with engine.connect() as connection:
        return {row.name: row.id for row in connection.execute(query)}


def _count(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    return (
        sa.select(sa.func.count())
        .select_from(table)
        .where(table.c.account_id == accounts.c.id, *conditions)
        .scalar_subquery()
    )
