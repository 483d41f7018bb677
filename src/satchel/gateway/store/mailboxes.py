"""Mailboxes that the gateway knows, added by the administrator or found at the mail source, each in one account."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from satchel.gateway.audit.actions import GATEWAY_ACTOR, Action
from satchel.gateway.store.audit import BY_NOBODY_KNOWN, Acting, write_acts
from satchel.gateway.store.tables import accounts, mailboxes


class UnknownMailbox(ValueError):
    """An address that no mailbox of the account has; the message says how to add it."""


@dataclass(frozen=True, slots=True)
class MailboxRow:
    """A mailbox; `account` is the account's name."""

    mailbox_id: str
    account_id: str
    account: str
    address: str
    name: str
    active: bool
    time_zone: str
    created_at: datetime
    indexed_at: datetime | None
    created_by: str | None


def add_mailbox(
    engine: sa.Engine, address: str, *, name: str = "", time_zone: str = "UTC", acting: Acting = BY_NOBODY_KNOWN
) -> MailboxRow:
    """Add a mailbox to an account, or give the one that is there already.

    Raises ValueError for what is no address and for a time zone that is not known.
    """
    address = normal_address(address)
    _refuse_unknown_time_zone(time_zone)
    with engine.begin() as connection:
        register(connection, acting, [address], datetime.now(UTC), name=name, time_zone=time_zone)
        return _rows(connection, mailboxes.c.address == address, mailboxes.c.account_id == acting.account_id)[0]


def change_mailbox(
    engine: sa.Engine,
    address: str,
    *,
    name: str | None = None,
    time_zone: str | None = None,
    active: bool | None = None,
    acting: Acting = BY_NOBODY_KNOWN,
) -> MailboxRow:
    """Change what is given of a mailbox; it is audited where that is another than before.

    Raises UnknownMailbox, and ValueError for a time zone that is not known and for an empty name.
    """
    if time_zone is not None:
        _refuse_unknown_time_zone(time_zone)
    if name is not None and not name.strip():
        raise ValueError("The name is empty. Give the mailbox one, such as its address.")
    wanted = {"name": name, "time_zone": time_zone, "active": active}
    values = {column: value for column, value in wanted.items() if value is not None}
    with engine.begin() as connection:
        (mailbox_id,) = mailbox_ids(connection, acting.account_id, [address]).values()
        differs = sa.or_(sa.false(), *(mailboxes.c[column] != value for column, value in values.items()))
        update = sa.update(mailboxes).where(mailboxes.c.id == mailbox_id, differs)
        if values and connection.execute(update.values(values)).rowcount:
            write_acts(connection, acting, Action.MAILBOX_CHANGED, [mailbox_id], datetime.now(UTC))
        return _rows(connection, mailboxes.c.id == mailbox_id)[0]


def list_mailboxes(engine: sa.Engine, account_id: str | None = None) -> Sequence[MailboxRow]:
    """All mailboxes by address, or those of one account."""
    with engine.connect() as connection:
        return _rows(connection, sa.true() if account_id is None else mailboxes.c.account_id == account_id)


def indexed_addresses(engine: sa.Engine, account_id: str) -> frozenset[str]:
    """Addresses of the account's mailboxes whose baseline has ended."""
    query = sa.select(mailboxes.c.address).where(
        mailboxes.c.account_id == account_id, mailboxes.c.indexed_at.is_not(None)
    )
    with engine.connect() as connection:
        return frozenset(connection.scalars(query))


def register_mailboxes(engine: sa.Engine, account_id: str, addresses: Iterable[str]) -> None:
    """Add the mailboxes of an account's mail source that are not known yet."""
    with engine.begin() as connection:
        register(connection, Acting(account_id, GATEWAY_ACTOR), addresses, datetime.now(UTC))


def mark_indexed(engine: sa.Engine, account_id: str, addresses: Collection[str] | None) -> None:
    """End the baseline of mailboxes of an account, or of all that it has: whatever is new in them is announced now."""
    update = sa.update(mailboxes).where(mailboxes.c.account_id == account_id, mailboxes.c.indexed_at.is_(None))
    if addresses is not None:
        update = update.where(mailboxes.c.address.in_(addresses))
    with engine.begin() as connection:
        connection.execute(update.values(indexed_at=datetime.now(UTC)))


def register(
    connection: sa.Connection,
    acting: Acting,
    addresses: Iterable[str],
    now: datetime,
    *,
    name: str = "",
    time_zone: str = "UTC",
) -> None:
    """Add those of the addresses that no mailbox of the account has, inside the caller's transaction."""
    wanted = sorted(set(addresses))
    query = sa.select(mailboxes.c.address).where(
        mailboxes.c.account_id == acting.account_id, mailboxes.c.address.in_(wanted)
    )
    known = set(connection.scalars(query))
    rows = [
        {
            "id": str(uuid4()),
            "account_id": acting.account_id,
            "address": address,
            "name": name or address,
            "active": True,
            "time_zone": time_zone,
            "created_at": now,
            "created_by": acting.actor,
        }
        for address in wanted
        if address not in known
    ]
    if rows:
        # Another writer may have been faster.
        insert = sqlite.insert(mailboxes).on_conflict_do_nothing(
            index_elements=[mailboxes.c.account_id, mailboxes.c.address]
        )
        added = connection.scalars(insert.returning(mailboxes.c.id), rows).all()
        write_acts(connection, acting, Action.MAILBOX_ADDED, added, now)


def mailbox_ids(connection: sa.Connection, account_id: str, addresses: Collection[str]) -> dict[str, str]:
    """Address → id for the addresses, in lower case. Raises UnknownMailbox for one that the account has not."""
    wanted = {normal_address(address) for address in addresses}
    query = sa.select(mailboxes.c.address, mailboxes.c.id).where(
        mailboxes.c.account_id == account_id, mailboxes.c.address.in_(wanted)
    )
    found = {row.address: row.id for row in connection.execute(query)}
    missing = sorted(wanted - found.keys())
    if missing:
        raise UnknownMailbox(
            f"The account has no mailbox {', '.join(missing)}. Add it first: satchel gateway mailboxes add {missing[0]}"
        )
    return found


def normal_address(address: str) -> str:
    """An address as it is stored: trimmed, lower case. Raises ValueError for what is no address."""
    normal = address.strip().lower()
    local, at, domain = normal.rpartition("@")
    if not at or not local or not domain or any(c.isspace() or c in "/\\\0" or not c.isprintable() for c in normal):
        raise ValueError(f"{address!r} is no mail address: write it like invoices@example.com.")
    return normal


def _refuse_unknown_time_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{name!r} is no time zone that this machine knows: write it like Europe/Berlin or America/Toronto."
        ) from None


def _rows(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[MailboxRow]:
    query = sa.select(
        mailboxes.c.id,
        mailboxes.c.account_id,
        accounts.c.name,
        mailboxes.c.address,
        mailboxes.c.name,
        mailboxes.c.active,
        mailboxes.c.time_zone,
        mailboxes.c.created_at,
        mailboxes.c.indexed_at,
        mailboxes.c.created_by,
    ).join_from(mailboxes, accounts)
    found = connection.execute(query.where(*conditions).order_by(mailboxes.c.address, accounts.c.created_at))
    return [MailboxRow(*tuple(row)) for row in found]
