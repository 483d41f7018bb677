"""How the Graph source is to behave: plain values, which the program that hosts it takes from its settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DEFAULT_BASE_URL = "https://graph.microsoft.com"
DEFAULT_PLACEHOLDERS = (r"(?i)^(atp|safe attachments) scan in progress",)


@dataclass(frozen=True, slots=True)
class CallOptions:
    """Of the HTTP client. `patience_seconds` bounds what one call of ours may wait, for a place among those under way
    and for the server's Retry-After together."""

    base_url: str = DEFAULT_BASE_URL
    ca_file: Path | None = None
    max_concurrent: int = 64
    max_concurrent_per_mailbox: int = 4
    patience_seconds: float = 20.0
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class ContentOptions:
    """Of downloads. `heal_attempts` 0: a body that breaks is not asked for again. `buffer_bytes` is how much of a body
    of unknown length is held to learn its length before the answer begins. `confirm_ends`: a body for whose length
    nobody vouches is read a second time before its end is believed."""

    heal_attempts: int = 3
    buffer_bytes: int = 4 * 1024 * 1024
    confirm_ends: bool = True


@dataclass(frozen=True, slots=True)
class ArrivalOptions:
    """Of arrivals. `folders` are well-known names or ids. `notification_url` None: there are no subscriptions, and the
    delta query alone finds what has arrived, every `poll_seconds`; with notifications it runs every
    `catch_up_seconds`. A message that holds a placeholder is given out as it is after `placeholder_wait_seconds`."""

    folders: Sequence[str] = ("inbox",)
    poll_seconds: float = 30.0
    catch_up_seconds: float = 900.0
    notification_url: str | None = None
    subscription_minutes: int = 4230
    placeholders: Sequence[str] = DEFAULT_PLACEHOLDERS
    placeholder_wait_seconds: float = 1800.0


@dataclass(frozen=True, slots=True)
class GraphOptions:
    """All of them. `mailboxes` are those that the source may ask for, in lower case."""

    mailboxes: Sequence[str]
    calls: CallOptions = CallOptions()
    content: ContentOptions = ContentOptions()
    arrivals: ArrivalOptions = ArrivalOptions()
