"""A mail source in memory, a delivery queue that only remembers, and a driver that calls an ASGI application."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from starlette.types import ASGIApp, Message

from satchel.contract.attachments import Attachment, AttachmentType
from satchel.contract.events import EmailAddress, Recipient
from satchel.gateway.sealing import MasterKey
from satchel.gateway.store.deliveries import Lane
from satchel.gateway.store.tables import deliveries
from satchel.mail.source import (
    AttachmentNotFound,
    Batch,
    MessageNotFound,
    MessageRef,
    MessageSummary,
    NotDownloadable,
    SourceError,
)

MAILBOX = "invoices@example.test"
OTHER_MAILBOX = "board@example.test"
MASTER_KEY = MasterKey([bytes(32)])


def ref(message_id: str, mailbox: str = MAILBOX) -> MessageRef:
    return MessageRef(mailbox, message_id, f"file-of-{message_id}")


def batch(*message_ids: str) -> Batch:
    return Batch([ref(message_id) for message_id in message_ids])


def first_pass_ends(*mailboxes: str) -> Batch:
    """The end of the first pass of a source that has these mailboxes, and to which others come as new ones."""
    return Batch(read_to_end=frozenset(mailboxes or {MAILBOX}), ends_first_pass=True, rest_is_new=True)


def summary(message: MessageRef, **changes: Any) -> MessageSummary:
    someone = Recipient(EmailAddress("Ann", "ann@example.test"))
    values: dict[str, Any] = {
        "ref": message,
        "internet_message_id": f"<{message.message_id}@example.test>",
        "conversation_id": "c-1",
        "received": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "sender": someone,
        "from_": someone,
        "to": (Recipient(EmailAddress("", MAILBOX)),),
        "cc": (),
        "subject": "Invoice",
        "has_attachments": True,
    }
    return MessageSummary(**values | changes)


def attachment(attachment_id: str, data: bytes = b"", **changes: Any) -> Attachment:
    values: dict[str, Any] = {
        "id": attachment_id,
        "name": "invoice.pdf",
        "content_type": "application/pdf",
        "size": len(data),
        "attachment_type": AttachmentType.FILE.value,
    }
    return Attachment(**values | changes)


@dataclass
class MemoryContent:
    """An open attachment; `pieces` may hold an exception, which is raised where it stands.

    It gives whole pieces however much was asked for if `is_careless`, and waits for ever before piece `stalls_at`. Read
    to its end, it knows `found_sha256`.
    """

    attachment: Attachment
    pieces: list[bytes | Exception]
    size: int | None
    etag: str | None = "v1"
    sha256: str | None = None
    found_sha256: str | None = None
    closed: int = 0
    is_careless: bool = False
    stalls_at: int | None = None

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        at = 0
        for number, piece in enumerate(self.pieces):
            if number == self.stalls_at:
                await asyncio.Event().wait()
            if isinstance(piece, Exception):
                raise piece
            wanted = piece[max(0, start - at) : None if stop is None else max(0, stop - at)]
            at += len(piece)
            if wanted or self.is_careless:
                yield piece if self.is_careless else wanted
        self.sha256 = self.sha256 or self.found_sha256

    async def aclose(self) -> None:
        self.closed += 1


@dataclass
class MemorySource:
    """`files` by message id and attachment id, `texts` by message id; `failures` by message id, raised by every call
    about it, `list_failures` by that for its attachments; `elsewhere` are the messages that `resolve` finds."""

    summaries: dict[str, MessageSummary] = field(default_factory=dict)
    files: dict[str, dict[str, MemoryContent]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)
    list_failures: dict[str, Exception] = field(default_factory=dict)
    histories: dict[str, list[list[MessageSummary] | Exception]] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    addresses: list[str] = field(default_factory=lambda: [MAILBOX])
    elsewhere: dict[str, MessageRef] = field(default_factory=dict)
    on_describe: Callable[[], None] = lambda: None
    described: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    lists_exact_sizes: bool = True

    async def watch(self) -> AsyncIterator[Batch]:
        for batch in self.batches:
            yield batch
        await asyncio.Event().wait()

    async def describe(self, message: MessageRef) -> MessageSummary:
        self.described.append(message.message_id)
        self.on_describe()
        self._fail(message)
        return self.summaries.get(message.message_id) or summary(message)

    async def history(
        self, mailbox: str, *, since: datetime, until: datetime
    ) -> AsyncIterator[Sequence[MessageSummary]]:
        for batch in self.histories.get(mailbox, ()):
            if isinstance(batch, Exception):
                raise batch
            yield [each for each in batch if since <= each.received < until]

    async def list(self, message: MessageRef) -> Sequence[Attachment]:
        self.listed.append(message.message_id)
        self._fail(message)
        if message.message_id in self.list_failures:
            raise self.list_failures[message.message_id]
        return [content.attachment for content in self.files[message.message_id].values()]

    async def text(self, message: MessageRef, max_characters: int) -> str | None:
        self._fail(message)
        text = self.texts.get(message.message_id)
        return None if text is None else text[:max_characters]

    async def open(self, message: MessageRef, attachment_id: str) -> MemoryContent:
        self._fail(message)
        content = self.files.get(message.message_id, {}).get(attachment_id)
        if content is None:
            raise AttachmentNotFound
        if not content.attachment.is_file:
            raise NotDownloadable
        return content

    async def resolve(self, message_id: str, mailboxes: Collection[str]) -> MessageRef | None:
        found = self.elsewhere.get(message_id)
        return found if found is not None and found.mailbox in mailboxes else None

    async def mailboxes(self) -> Sequence[str]:
        return self.addresses

    async def aclose(self) -> None:
        pass

    def _fail(self, message: MessageRef) -> None:
        if message.message_id in self.failures:
            raise self.failures[message.message_id]
        if message.message_id == "gone":
            raise MessageNotFound


class RememberingQueue:
    """Remembers what it was woken for: the deliveries that are new in the lanes, in their order."""

    def __init__(self, engine: sa.Engine) -> None:
        self.asked: list[str] = []
        self._engine = engine
        self._known = {delivery_id for delivery_id, _ in recorded_deliveries(engine)}

    async def wake(self, lanes: Collection[Lane]) -> None:
        found = [id_ for id_, lane in recorded_deliveries(self._engine) if lane in lanes and id_ not in self._known]
        self.asked += found
        self._known |= set(found)


def recorded_deliveries(engine: sa.Engine) -> list[tuple[str, Lane]]:
    """All deliveries of the database with their lanes, in the order of their messages."""
    columns = deliveries.c
    query = sa.select(columns.id, columns.webhook_id, columns.mailbox_id).order_by(columns.message_row_id)
    with engine.connect() as connection:
        return [(row.id, Lane(row.webhook_id, row.mailbox_id)) for row in connection.execute(query)]


@dataclass
class Answer:
    """What an application sent. `complete` is False where it returned without the end of the body."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    trailers: dict[str, str] = field(default_factory=dict)


async def call(
    app: ASGIApp,
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    raw_path: bytes | None = None,
    leave_after_bytes: int | None = None,
    http_version: str = "1.1",
) -> Answer:
    """One request as uvicorn would hand it over; the client leaves once it has `leave_after_bytes` of the body."""
    answer = Answer()
    left = asyncio.Event()
    path, _, query = path.partition("?")
    requests: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if requests:
            return requests.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode().lower(): v.decode("latin-1") for k, v in message["headers"]}
            return
        if message["type"] == "http.response.trailers":
            answer.trailers = {k.decode(): v.decode("latin-1") for k, v in message["headers"]}
            return
        answer.body += message.get("body", b"")
        answer.complete = not message.get("more_body", False)
        if answer.complete or (leave_after_bytes is not None and len(answer.body) >= leave_after_bytes):
            left.set()

    sent = {"host": "gateway.test", **(headers or {})}
    if body:
        sent["content-length"] = str(len(body))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": http_version,
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": raw_path if raw_path is not None else path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in sent.items()],
        "server": ("127.0.0.1", 8025),
        "client": ("127.0.0.1", 50000),
        "state": {},
        "extensions": {"http.response.trailers": {}} if sent.get("te") == "trailers" else {},
    }
    await app(scope, receive, send)
    return answer


Failing = Callable[[], SourceError]
