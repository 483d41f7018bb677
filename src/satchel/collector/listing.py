"""What the ledger shows to people and programs: rows with their status, for the commands."""

from dataclasses import dataclass

import sqlalchemy as sa

from satchel.collector import records
from satchel.collector.records import Status
from satchel.collector.tables import attachments, events


@dataclass(frozen=True, slots=True)
class Entry:
    """An attachment, or a message that is not listed (yet): then `attachment_id` and what follows from it are None.

    Names are as the mail had them. `updated_at_ms` is in milliseconds since 1970-01-01 UTC.
    """

    message_id: str
    attachment_id: str | None
    mailbox: str
    received: str
    name: str | None
    content_type: str | None
    status: str
    reason: str | None
    tries: int
    size: int | None
    sha256: str | None
    storage_key: str | None
    updated_at_ms: int


def entries(
    engine: sa.Engine, *, status: Status | None = None, message_id: str | None = None, limit: int | None = None
) -> list[Entry]:
    """Attachments in the order that their messages came, and messages whose own row is pending or failed.

    With a limit only the last ones, in the same order.
    """
    a, e = attachments.c, events.c
    of_attachments = sa.select(
        e.accepted_at_ms,
        a.position,
        a.message_id,
        a.attachment_id,
        e.mailbox,
        e.received,
        a.name,
        a.content_type,
        a.status,
        a.reason,
        a.tries,
        a.size,
        a.sha256,
        a.storage_key,
        a.updated_at_ms,
    ).join_from(attachments, events)
    nothing = sa.null()
    of_events = sa.select(
        e.accepted_at_ms,
        sa.literal(-1),
        e.message_id,
        nothing,
        e.mailbox,
        e.received,
        nothing,
        nothing,
        e.status,
        e.reason,
        e.tries,
        nothing,
        nothing,
        nothing,
        e.updated_at_ms,
    ).where(e.status != Status.LISTED)
    if status is not None:
        of_attachments = of_attachments.where(a.status == status)
        of_events = of_events.where(e.status == status)
    if message_id is not None:
        of_attachments = of_attachments.where(a.message_id == message_id)
        of_events = of_events.where(e.message_id == message_id)
    # By position in the row: accepted first, then the message, then its attachments in their order.
    last_first = sa.union_all(of_attachments, of_events).order_by(
        sa.text("1 DESC"), sa.text("3 DESC"), sa.text("2 DESC")
    )
    if limit is not None:
        last_first = last_first.limit(limit)
    with engine.connect() as connection:
        found = [Entry(*row[2:]) for row in connection.execute(last_first)]
    found.reverse()
    return found


def retry(engine: sa.Engine, *, now_ms: int, message_id: str | None = None, attachment_id: str | None = None) -> int:
    """Ask again for what failed; returns how many rows. A collector that runs sees it at its next sweep."""
    with engine.begin() as connection:
        return len(records.retry_failed(connection, now_ms=now_ms, message_id=message_id, attachment_id=attachment_id))
