"""Reports and mailboxes as servers of this API give them, with the gaps of a foreign one filled (contract sections 10
and 11). Pure: any bytes give values or a ValueError."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from satchel.contract.events import EmailAddress, Recipient
from satchel.contract.foreign import moment, text
from satchel.contract.mailboxes import Mailbox
from satchel.contract.reports import ReceivedMessage, RunStatus

T = TypeVar("T")

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
# What databases hold; a number beyond it is no cursor.
_MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ReportPage:
    """The state of a run and, once it is done, one page of its rows. `progress` is in percent.

    `self_href` is where to ask again, `next_href` where the next page is, as the server wrote them. `reason` and
    `message` say why a run failed; `retry_after_seconds` is how long the server wants to be left alone.
    """

    status: RunStatus
    progress: int
    rows: list[ReceivedMessage]
    self_href: str | None
    next_href: str | None
    reason: str | None = None
    message: str = ""
    retry_after_seconds: float | None = None


class _Link(msgspec.Struct, frozen=True):
    href: str | None = None


class _Links(msgspec.Struct, frozen=True):
    self_: _Link | None = msgspec.field(name="self", default=None)
    next: _Link | None = None


class _Row(msgspec.Struct, frozen=True, rename="camel"):
    id: int | str
    message_id: Any = None
    internet_message_id: Any = None
    conversation_id: Any = None
    mailbox_id: Any = None
    received: Any = None
    sender: Any = None
    from_: Any = msgspec.field(name="from", default=None)
    subject: Any = None
    has_attachments: Any = None
    to: Any = None
    cc: Any = None


class _Result(msgspec.Struct, frozen=True):
    data: list[_Row] | None = None


class _Failure(msgspec.Struct, frozen=True):
    message: Any = None
    reason: Any = None


class _Envelope(msgspec.Struct, frozen=True):
    status: str
    links: _Links | None = msgspec.field(name="_links", default=None)
    progress: Any = None
    result: _Result | None = None
    error: _Failure | None = None


class _Listed(msgspec.Struct, frozen=True, rename="camel"):
    mailbox_id: str
    mailbox_name: Any = None
    mailbox_email: Any = None
    active: Any = None
    time_zone: Any = None
    users: Any = None
    tags: Any = None


class _ListedAll(msgspec.Struct, frozen=True):
    mailboxes: list[_Listed]


def decode_page(body: bytes, retry_after_seconds: float | None = None) -> ReportPage:
    """The envelope of a run. A status that is not known counts as running. Raises ValueError where it is no envelope,
    or a row of it has no number to go on behind."""
    envelope = _decoded(body, _Envelope)
    links, result = envelope.links or _Links(), envelope.result or _Result()
    failure = envelope.error or _Failure()
    is_final = envelope.status in {RunStatus.DONE, RunStatus.ERROR}
    return ReportPage(
        status=RunStatus(envelope.status) if is_final else RunStatus.RUNNING,
        progress=min(max(envelope.progress, 0), 100) if _is_whole(envelope.progress) else 0,
        rows=[_row(each) for each in result.data or ()],
        self_href=None if links.self_ is None else links.self_.href,
        next_href=None if links.next is None else links.next.href,
        reason=failure.reason if isinstance(failure.reason, str) else None,
        message=text(failure.message),
        retry_after_seconds=retry_after_seconds,
    )


def decode_mailboxes(body: bytes) -> list[Mailbox]:
    """The list of mailboxes. Raises ValueError where it is none, or one of them has no id."""
    return [
        Mailbox(
            mailbox_id=each.mailbox_id,
            mailbox_name=text(each.mailbox_name) or text(each.mailbox_email),
            mailbox_email=text(each.mailbox_email),
            active=each.active is not False,
            time_zone=text(each.time_zone) or "UTC",
            users=each.users if isinstance(each.users, list) else [],
            tags=each.tags if isinstance(each.tags, list) else [],
        )
        for each in _decoded(body, _ListedAll).mailboxes
    ]


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no answer of this API: {error}") from None


def _row(row: _Row) -> ReceivedMessage:
    sender, from_ = _recipient(row.sender), _recipient(row.from_)
    return ReceivedMessage(
        id=_cursor(row.id),
        message_id=text(row.message_id),
        internet_message_id=text(row.internet_message_id),
        conversation_id=text(row.conversation_id),
        mailbox_id=text(row.mailbox_id),
        received=moment(row.received) or _LONG_AGO,
        sender=sender or from_ or Recipient(),
        from_=from_ or sender or Recipient(),
        subject=text(row.subject),
        has_attachments=row.has_attachments is True,
        to=_recipients(row.to),
        cc=_recipients(row.cc),
    )


def _cursor(value: int | str) -> int:
    """A number, also where the server writes it as text."""
    is_number = isinstance(value, int) or (value.isascii() and value.isdigit() and len(value) < 20)
    if not is_number or not 0 <= int(value) <= _MAX_ID:
        raise ValueError("no answer of this API: the id of a row is no number")
    return int(value)


def _recipients(value: Any) -> list[Recipient] | msgspec.UnsetType:
    if not isinstance(value, list):
        return msgspec.UNSET
    return [each for each in map(_recipient, value) if each is not None]


def _recipient(value: Any) -> Recipient | None:
    """An address as section 8 writes it, or without its wrapping, or alone."""
    if isinstance(value, str):
        return Recipient(EmailAddress("", value))
    inner = value.get("emailAddress", value) if isinstance(value, dict) else None
    if not isinstance(inner, dict):
        return None
    return Recipient(EmailAddress(text(inner.get("name")), text(inner.get("address"))))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
