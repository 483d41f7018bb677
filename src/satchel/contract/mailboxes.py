"""Mailboxes as the list of them goes over the wire (contract section 10)."""

from typing import Any

import msgspec


class Mailbox(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mailbox that a key may see. `time_zone` is an IANA name. Satchel knows neither users nor tags."""

    mailbox_id: str
    mailbox_name: str
    mailbox_email: str
    active: bool = True
    time_zone: str = "UTC"
    users: list[Any] = []
    tags: list[Any] = []


class MailboxList(msgspec.Struct, frozen=True):
    """The whole answer: never paginated."""

    mailboxes: list[Mailbox]
