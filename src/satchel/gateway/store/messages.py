"""The index of messages: which id is in which mailbox, and its envelope. Written together with what it announces.

All of it by account: two accounts may have a mailbox of one address, and in it messages of one id.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from satchel.contract.events import Recipient
from satchel.gateway.audit.actions import GATEWAY_ACTOR
from satchel.gateway.rules.decision import Firing
from satchel.gateway.store.audit import Acting
from satchel.gateway.store.deliveries import Lane, add_deliveries
from satchel.gateway.store.mailboxes import register
from satchel.gateway.store.tables import mailboxes, messages, webhook_mailboxes, webhooks
from satchel.gateway.text_bounds import MAX_SUBJECT_CHARACTERS, clean
from satchel.mail.source import MessageRef, MessageSummary

# What a row keeps when its envelope is written anew.
_FIXED = frozenset({"message_id", "mailbox_id", "indexed_at"})


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message to index; `summary` is None where the source cannot read its envelope, ever or just now.

    One of the baseline was there before its mailbox was first indexed to the end; it is never announced. `firings` are
    what the rules of the mailbox say to it.
    """

    ref: MessageRef
    summary: MessageSummary | None
    is_baseline: bool = False
    firings: Sequence[Firing] = ()


def known_message_ids(
    engine: sa.Engine, account_id: str, message_ids: Collection[str], *, with_unreadable: bool = True
) -> frozenset[str]:
    """Those of the ids that the watch has come to, with or without those whose envelope could not be read so far."""
    query = _of_account(account_id, message_ids).where(messages.c.watched)
    with engine.connect() as connection:
        return frozenset(connection.scalars(query if with_unreadable else query.where(messages.c.readable)))


def record_past(engine: sa.Engine, account_id: str, found: Sequence[MessageSummary]) -> int:
    """Index messages of an account that the index does not have, or not with their envelope; how many these were.

    It announces nothing and keeps nothing from being announced: one that the watch comes to later is as new or as old
    to it as if it had not been indexed.
    """
    query = _of_account(account_id, [each.ref.message_id for each in found]).where(messages.c.readable)
    with engine.connect() as connection:
        known: frozenset[str] = frozenset(connection.scalars(query))
    new = {each.ref.message_id: each for each in found if each.ref.message_id not in known}
    if not new:
        return 0
    now = datetime.now(UTC)
    with engine.begin() as connection:
        boxes = _registered(connection, account_id, {each.ref.mailbox for each in new.values()}, now)
        rows = [_message_row(Arrival(each.ref, each), boxes[each.ref.mailbox], now) for each in new.values()]
        numbers = _insert_new(connection, [row | {"watched": False} for row in rows])
        _complete(connection, [row for row in rows if row["message_id"] not in numbers])
    return len(new)


def record_arrivals(engine: sa.Engine, account_id: str, arrivals: Sequence[Arrival]) -> frozenset[Lane]:
    """Index messages of an account and write their deliveries, all or nothing: one for each enabled webhook of the
    mailbox that is told of everything, or that a rule fires.

    Messages of the baseline are only indexed. A message that the index has already gets its envelope, if that could
    not be read before, and is not announced again; one that it has of the past alone is announced as any other. Returns
    the lanes of the new deliveries.
    """
    now = datetime.now(UTC)
    with engine.begin() as connection:
        boxes = _registered(connection, account_id, {arrival.ref.mailbox for arrival in arrivals}, now)
        rows = [_message_row(arrival, boxes[arrival.ref.mailbox], now) for arrival in arrivals]
        numbers = _insert_new(connection, rows)
        numbers |= _come_to(connection, [row for row in rows if row["message_id"] not in numbers])
        _complete(connection, [row for row in rows if row["readable"] and row["message_id"] not in numbers])
        baseline = {arrival.ref.message_id for arrival in arrivals if arrival.is_baseline}
        new = {id_: row | {"id": numbers[id_]} for row in rows if (id_ := row["message_id"]) in numbers}
        announced = [row for id_, row in new.items() if row["readable"] and id_ not in baseline]
        fired = {arrival.ref.message_id: arrival.firings for arrival in arrivals}
        return _announce(connection, announced, fired, now)


def _insert_new(connection: sa.Connection, rows: list[dict[str, Any]]) -> dict[str, int]:
    """Insert the rows whose message the index does not have, whoever else writes; their ids by message id."""
    insert = sqlite.insert(messages).on_conflict_do_nothing(
        index_elements=[messages.c.message_id, messages.c.mailbox_id]
    )
    inserted = connection.execute(insert.returning(messages.c.message_id, messages.c.id), rows)
    return {row.message_id: row.id for row in inserted}


def _come_to(connection: sa.Connection, rows: list[dict[str, Any]]) -> dict[str, int]:
    """The watch has come to messages that were indexed as the past; their ids by message id. What it says of them is
    the better word, but they keep their numbers and times: reports may have them."""
    by_id = {row["message_id"]: row for row in rows}
    query = sa.select(messages.c.message_id, messages.c.id).where(
        messages.c.message_id.in_(by_id),
        messages.c.mailbox_id.in_({row["mailbox_id"] for row in rows}),
        messages.c.watched.is_(False),
    )
    found = {row.message_id: row.id for row in connection.execute(query)} if rows else {}
    for message_id, number in found.items():
        row = by_id[message_id]
        values = {name: row[name] for name in row.keys() - _FIXED - {"received"}} if row["readable"] else {}
        connection.execute(sa.update(messages).where(messages.c.id == number).values(values | {"watched": True}))
    return found


def _complete(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    """Write the envelopes of messages that the index has without one.

    Each gets the next number as if it were new: a report that began before has its pages for good, and one that goes on
    behind the last number seen finds it.
    """
    if rows:
        is_incomplete = sa.and_(
            messages.c.message_id == sa.bindparam("known_id"),
            messages.c.mailbox_id == sa.bindparam("known_mailbox_id"),
            messages.c.readable.is_(False),
        )
        values = [
            {name: row[name] for name in row.keys() - _FIXED}
            | {"known_id": row["message_id"], "known_mailbox_id": row["mailbox_id"]}
            for row in rows
        ]
        others = messages.alias()
        next_id = sa.select(sa.func.max(others.c.id) + 1).scalar_subquery()
        connection.execute(sa.update(messages).where(is_incomplete).values(id=next_id), values)


def _announce(
    connection: sa.Connection, rows: list[dict[str, Any]], fired: Mapping[str, Sequence[Firing]], now: datetime
) -> frozenset[Lane]:
    if not rows:
        return frozenset()
    of_mailbox = _webhooks(connection, {row["mailbox_id"] for row in rows})
    written = []
    for row in rows:
        firings = {firing.webhook_id: firing for firing in fired.get(row["message_id"], ())}
        for webhook_id, by_rules in of_mailbox.get(row["mailbox_id"], ()):
            firing = firings.get(webhook_id) if by_rules else None
            if firing is not None or not by_rules:
                written.append(
                    {
                        "id": delivery_id(webhook_id, row["message_id"]),
                        "webhook_id": webhook_id,
                        "mailbox_id": row["mailbox_id"],
                        "message_row_id": row["id"],
                        "rule_id": None if firing is None else firing.rule_id,
                        "custom_fields": None if firing is None else dict(firing.custom_fields) or None,
                    }
                )
    return add_deliveries(connection, written, now)


def _webhooks(connection: sa.Connection, mailbox_ids: set[str]) -> dict[str, list[tuple[str, bool]]]:
    """By mailbox, the enabled webhooks that it may tell, and whether each is told of what a rule says only."""
    query = (
        sa.select(webhook_mailboxes.c.mailbox_id, webhook_mailboxes.c.webhook_id, webhooks.c.by_rules)
        .join_from(webhook_mailboxes, webhooks)
        .where(
            webhook_mailboxes.c.mailbox_id.in_(mailbox_ids),
            webhooks.c.enabled,
            webhooks.c.removed_at.is_(None),
        )
    )
    found: dict[str, list[tuple[str, bool]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.mailbox_id, []).append((row.webhook_id, row.by_rules))
    return found


def delivery_id(webhook_id: str, message_id: str) -> str:
    """The id of the delivery of a message to a webhook: the same however often it is asked for."""
    return str(uuid5(UUID(webhook_id), message_id))


def _of_account(account_id: str, message_ids: Collection[str]) -> sa.Select[tuple[str]]:
    return (
        sa.select(messages.c.message_id)
        .join_from(messages, mailboxes)
        .where(messages.c.message_id.in_(message_ids), mailboxes.c.account_id == account_id)
    )


def _registered(connection: sa.Connection, account_id: str, addresses: set[str], now: datetime) -> dict[str, str]:
    """The ids of an account's mailboxes, which are made where there are none."""
    register(connection, Acting(account_id, GATEWAY_ACTOR), addresses, now)
    query = sa.select(mailboxes.c.address, mailboxes.c.id).where(
        mailboxes.c.account_id == account_id, mailboxes.c.address.in_(addresses)
    )
    return {row.address: row.id for row in connection.execute(query)}


def _message_row(arrival: Arrival, mailbox_id: str, now: datetime) -> dict[str, Any]:
    summary = arrival.summary
    row: dict[str, Any] = {
        "message_id": arrival.ref.message_id,
        "mailbox_id": mailbox_id,
        "locator": arrival.ref.locator,
        "readable": summary is not None,
        "indexed_at": now,
    }
    if summary is None:
        nobody = _addresses([Recipient()])[0]
        return row | {
            "internet_message_id": "",
            "conversation_id": "",
            "received": now,
            "sender": nobody,
            "from_": nobody,
            "to": [],
            "cc": [],
            "subject": "",
            "has_attachments": False,
        }
    return row | {
        "internet_message_id": clean(summary.internet_message_id),
        "conversation_id": clean(summary.conversation_id),
        "received": _instant(summary.received, now),
        "sender": _addresses([summary.sender])[0],
        "from_": _addresses([summary.from_])[0],
        "to": _addresses(summary.to),
        "cc": _addresses(summary.cc),
        "subject": clean(summary.subject)[:MAX_SUBJECT_CHARACTERS],
        "has_attachments": summary.has_attachments,
    }


def _addresses(recipients: Sequence[Recipient]) -> list[dict[str, Any]]:
    return [
        {"emailAddress": {"name": clean(r.email_address.name), "address": clean(r.email_address.address)}}
        for r in recipients
    ]


def _instant(received: datetime, now: datetime) -> datetime:
    """A message's own date may lie outside the calendar once it is moved to UTC; then the time of indexing stands."""
    try:
        return received.astimezone(UTC)
    except (OverflowError, ValueError):
        return now
