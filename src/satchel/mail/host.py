"""What a mail source asks of the program that hosts it: to remember, over restarts, how far it has come.

Cursors, subscriptions and what is known of a file's content are metadata; no content and no secret is among them.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ContentFact:
    """What an earlier complete read of an attachment found: its exact size in bytes, and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


class SubscriptionStatus(StrEnum):
    """Where a subscription stands; what is not `ACTIVE` has something to be done about it."""

    CREATING = "creating"
    ACTIVE = "active"
    REAUTHORIZE = "reauthorize"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription to the arrivals in one folder of a mailbox.

    `key` is ours and stays the same when the mail server's own id changes with each new creation.
    `client_state_hash` is the SHA-256, in hexadecimal, of the secret that every notification of it brings. `renew_at`
    is well before `expires_at`.
    """

    key: str
    mailbox: str
    folder: str
    client_state_hash: str
    status: SubscriptionStatus
    subscription_id: str | None = None
    expires_at: datetime | None = None
    renew_at: datetime | None = None


def hash_client_state(client_state: str) -> str:
    """The SHA-256 under which a subscription's secret is kept, in hexadecimal."""
    return hashlib.sha256(client_state.encode()).hexdigest()


class SourceHost(Protocol):
    """Remembers for one account's source. What a method has saved is durable when it returns."""

    async def cursor(self, key: str) -> str | None:
        """Where a walk stood when it was last saved."""
        ...

    async def save_cursor(self, key: str, value: str | None) -> None:
        """None forgets it."""
        ...

    async def content_facts(self, keys: Collection[str]) -> dict[str, ContentFact]:
        """What is known of contents, by their keys; those of which nothing is known are left out."""
        ...

    async def remember_content(self, key: str, fact: ContentFact | None) -> None:
        """Not promised to be kept for ever: facts are a help, never a need. None forgets one that proved wrong."""
        ...

    async def subscriptions(self) -> Sequence[Subscription]: ...

    async def save_subscription(self, subscription: Subscription) -> None:
        """Written anew or over the one with this key. One that the mail server has removed meanwhile stays so until it
        has another secret."""
        ...

    async def remove_subscription(self, key: str) -> None: ...

    async def take_catch_up_requests(self) -> frozenset[str]:
        """Mailboxes in which something may have been missed since this was last asked; each is told once."""
        ...
