"""Mailboxes that the gateway knows, added by the administrator or found at the mail source."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, mailboxes


class UnknownMailbox(ValueError):
    """An address that no mailbox has; the message says how to add it."""


@dataclass(frozen=True, slots=True)
class MailboxRow:
    mailbox_id: str
    account_id: str
    address: str
    name: str
    active: bool
    time_zone: str
    created_at: datetime
    indexed_at: datetime | None


def add_mailbox(engine: sa.Engine, address: str, *, name: str = "", time_zone: str = "UTC") -> MailboxRow:
    """Add a mailbox, or give the one that is there already. Raises ValueError for what is no address."""
    address = normal_address(address)
    with engine.begin() as connection:
        register(connection, [address], datetime.now(UTC), name=name, time_zone=time_zone)
        return _rows(connection, mailboxes.c.address == address)[0]


def list_mailboxes(engine: sa.Engine) -> Sequence[MailboxRow]:
    """All mailboxes by address."""
    with engine.connect() as connection:
        return _rows(connection, sa.true())


def indexed_addresses(engine: sa.Engine) -> frozenset[str]:
    """Addresses of the mailboxes whose baseline has ended."""
    with engine.connect() as connection:
        return frozenset(connection.scalars(sa.select(mailboxes.c.address).where(mailboxes.c.indexed_at.is_not(None))))


def register_mailboxes(engine: sa.Engine, addresses: Iterable[str]) -> None:
    """Add the mailboxes of a mail source that are not known yet."""
    with engine.begin() as connection:
        register(connection, addresses, datetime.now(UTC))


def mark_indexed(engine: sa.Engine) -> None:
    """End the baseline of every mailbox: from now on whatever is new in it is announced."""
    with engine.begin() as connection:
        update = sa.update(mailboxes).where(mailboxes.c.indexed_at.is_(None)).values(indexed_at=datetime.now(UTC))
        connection.execute(update)


def register(
    connection: sa.Connection, addresses: Iterable[str], now: datetime, *, name: str = "", time_zone: str = "UTC"
) -> None:
    """Add those of the addresses that no mailbox has, inside the caller's transaction."""
    wanted = sorted(set(addresses))
    known = set(connection.scalars(sa.select(mailboxes.c.address).where(mailboxes.c.address.in_(wanted))))
    rows = [
        {
            "id": str(uuid4()),
            "account_id": DEFAULT_ACCOUNT_ID,
            "address": address,
            "name": name or address,
            "active": True,
            "time_zone": time_zone,
            "created_at": now,
        }
        for address in wanted
        if address not in known
    ]
    if rows:
        # Another writer may have been faster.
        insert = sqlite.insert(mailboxes).on_conflict_do_nothing(index_elements=[mailboxes.c.address])
        connection.execute(insert, rows)


def mailbox_ids(connection: sa.Connection, addresses: Collection[str]) -> dict[str, str]:
    """Address → id for the addresses, in lower case. Raises UnknownMailbox for one that no mailbox has."""
    wanted = {normal_address(address) for address in addresses}
    query = sa.select(mailboxes.c.address, mailboxes.c.id).where(mailboxes.c.address.in_(wanted))
    found = {row.address: row.id for row in connection.execute(query)}
    missing = sorted(wanted - found.keys())
    if missing:
        raise UnknownMailbox(
            f"No mailbox {', '.join(missing)}. Add it first: satchel gateway mailboxes add {missing[0]}"
        )
    return found


def normal_address(address: str) -> str:
    """An address as it is stored: trimmed, lower case. Raises ValueError for what is no address."""
    normal = address.strip().lower()
    local, at, domain = normal.rpartition("@")
    if not at or not local or not domain or any(c.isspace() or c in "/\\\0" or not c.isprintable() for c in normal):
        raise ValueError(f"{address!r} is no mail address: write it like invoices@example.com.")
    return normal


def _rows(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[MailboxRow]:
    query = sa.select(
        mailboxes.c.id,
        mailboxes.c.account_id,
        mailboxes.c.address,
        mailboxes.c.name,
        mailboxes.c.active,
        mailboxes.c.time_zone,
        mailboxes.c.created_at,
        mailboxes.c.indexed_at,
    )
    found = connection.execute(query.where(condition).order_by(mailboxes.c.address))
    return [MailboxRow(*row) for row in found]
