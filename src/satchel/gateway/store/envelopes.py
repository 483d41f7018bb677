"""Messages of the index by their ids, with what rules look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from satchel.contract.events import Recipient
from satchel.gateway.rules.decision import RuledMessage
from satchel.gateway.store.tables import accounts, mailboxes, messages
from satchel.mail.source import MessageRef


class UnknownMessage(LookupError):
    """The index has no such message, or several accounts have one."""


@dataclass(frozen=True, slots=True)
class IndexedMessage:
    """A message of the index; `account` is its account's name, `ruled` None where its envelope could not be read."""

    account_id: str
    account: str
    ref: MessageRef
    ruled: RuledMessage | None


def find_message(engine: sa.Engine, message_id: str, account_id: str | None = None) -> IndexedMessage:
    """The message with this id, in one account or in any. Raises UnknownMessage."""
    query = (
        sa.select(messages, mailboxes.c.address, mailboxes.c.account_id, accounts.c.name.label("account"))
        .join_from(messages, mailboxes)
        .join(accounts, accounts.c.id == mailboxes.c.account_id)
        .where(messages.c.message_id == message_id)
    )
    if account_id is not None:
        query = query.where(mailboxes.c.account_id == account_id)
    with engine.connect() as connection:
        found = connection.execute(query).all()
    if not found:
        raise UnknownMessage(f"The index has no message {message_id!r}. Reports and webhooks name those that it has.")
    if len(found) > 1:
        raise UnknownMessage("Several accounts have a message of this id. Name one: --account")
    row = found[0]
    ruled = RuledMessage.of(
        _recipients([row.from_, row.sender]),
        _recipients([*row.to, *row.cc]),
        row.subject,
        has_attachments=row.has_attachments,
    )
    ref = MessageRef(row.address, row.message_id, row.locator)
    return IndexedMessage(row.account_id, row.account, ref, ruled if row.readable else None)


def _recipients(stored: Sequence[object]) -> list[Recipient]:
    return msgspec.convert(stored, list[Recipient])
