"""Reports: what is asked, the envelope of a run and its pages, and the rows (contract section 11)."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from satchel.contract.errors import ErrorDetail, Link
from satchel.contract.events import Recipient

DEFAULT_PAGE_ROWS = 50
MAX_PAGE_ROWS = 500


class RunStatus(StrEnum):
    """RUNNING from the start; the two others are final."""

    RUNNING = "running"
    DONE = "done"
    ERROR = "error"


class ActivityType(StrEnum):
    """Satchel knows what was received; the two others have no rows."""

    RECEIVED = "received"
    REPLIED = "replied"
    CLOSED = "closed"


class FieldGroup(StrEnum):
    """Sets of a row's fields. PARTICIPANTS adds whom a message went to."""

    BASIC = "basic"
    PARTICIPANTS = "participants"


class ReceivedMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One row. `id` is the cursor, and increases. `to` and `cc` are there with the group `participants`."""

    id: int
    message_id: str
    internet_message_id: str
    conversation_id: str
    mailbox_id: str
    received: datetime
    sender: Recipient
    from_: Recipient = msgspec.field(name="from")
    subject: str
    has_attachments: bool
    to: list[Recipient] | msgspec.UnsetType = msgspec.UNSET
    cc: list[Recipient] | msgspec.UnsetType = msgspec.UNSET


class ResultLinks(msgspec.Struct, frozen=True, omit_defaults=True):
    """`self_` is this page, `origin` the call that began the run; the two others where there are more rows."""

    self_: Link = msgspec.field(name="self")
    origin: Link
    next: Link | None = None
    prev: Link | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page. `total` is that of all pages, None while it is not known."""

    data: list[Any] = []
    total: int | None = None
    data_cutoff_timestamp: datetime | msgspec.UnsetType = msgspec.UNSET


class ResultEnvelope(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a run and one page of its rows. `progress` is in percent. A run that failed has no result."""

    links: ResultLinks = msgspec.field(name="_links")
    status: str
    progress: int
    result: Result | msgspec.UnsetType = msgspec.UNSET
    error: ErrorDetail | msgspec.UnsetType = msgspec.UNSET
