"""Measures what is waited for: a mail source and the admission of calls, each in the place of what it measures."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType

from satchel.contract.attachments import Attachment
from satchel.contract.errors import ApiError
from satchel.contract.routes import Route
from satchel.gateway.access import KeyRecord
from satchel.gateway.admission import AccountMessage, Admission, Caller, Resolve
from satchel.gateway.limits.rates import Limits
from satchel.gateway.store.database import Store
from satchel.gateway.telemetry.metrics import Metrics
from satchel.gateway.telemetry.spans import Tracing
from satchel.mail.source import AttachmentContent, Batch, MailSource, MessageRef, MessageSummary


def measured(source: MailSource, metrics: Metrics | None, tracing: Tracing | None) -> MailSource:
    """The source itself where nothing is to be measured."""
    return source if metrics is None and tracing is None else MeasuredSource(source, metrics, tracing)


class MeasuredSource:
    """A `MailSource` that is another one, with its times in the metrics and its calls in the traces."""

    def __init__(self, source: MailSource, metrics: Metrics | None, tracing: Tracing | None) -> None:
        self._source = source
        self._metrics = metrics
        self._tracing = tracing

    @property
    def lists_exact_sizes(self) -> bool:
        return self._source.lists_exact_sizes

    def watch(self) -> AsyncIterator[Batch]:
        return self._source.watch()

    async def describe(self, message: MessageRef) -> MessageSummary:
        with self._measured("describe"):
            return await self._source.describe(message)

    def history(self, mailbox: str, *, since: datetime, until: datetime) -> AsyncIterator[Sequence[MessageSummary]]:
        return self._source.history(mailbox, since=since, until=until)

    async def list(self, message: MessageRef) -> Sequence[Attachment]:
        with self._measured("list"):
            return await self._source.list(message)

    async def text(self, message: MessageRef, max_characters: int) -> str | None:
        with self._measured("text"):
            return await self._source.text(message, max_characters)

    async def open(self, message: MessageRef, attachment_id: str) -> AttachmentContent:
        with self._measured("open"):
            content = await self._source.open(message, attachment_id)
        return _MeasuredContent(content, self._metrics, self._tracing)

    async def resolve(self, message_id: str, mailboxes: Collection[str]) -> MessageRef | None:
        with self._measured("resolve"):
            return await self._source.resolve(message_id, mailboxes)

    async def mailboxes(self) -> Sequence[str]:
        with self._measured("mailboxes"):
            return await self._source.mailboxes()

    async def aclose(self) -> None:
        await self._source.aclose()

    def _measured(self, operation: str) -> "_Measured":
        return _Measured(operation, self._metrics, self._tracing)


class _Measured:
    """The time of a block, and how it ended."""

    __slots__ = ("_end_span", "_metrics", "_operation", "_started")

    def __init__(self, operation: str, metrics: Metrics | None, tracing: Tracing | None) -> None:
        self._operation = operation
        self._metrics = metrics
        self._end_span = tracing.begin(f"source.{operation}") if tracing is not None else None
        self._started = time.perf_counter()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._metrics is not None:
            self._metrics.note_source(self._operation, time.perf_counter() - self._started, error)
        if self._end_span is not None:
            self._end_span(error)


class _MeasuredContent:
    """An `AttachmentContent` that is another one. `first_read` is the wait for the first piece, `read` that for all
    others together; time in which the client was waited for is in neither."""

    def __init__(self, content: AttachmentContent, metrics: Metrics | None, tracing: Tracing | None) -> None:
        self._content = content
        self._metrics = metrics
        self._tracing = tracing

    @property
    def attachment(self) -> Attachment:
        return self._content.attachment

    @property
    def size(self) -> int | None:
        return self._content.size

    @property
    def etag(self) -> str | None:
        return self._content.etag

    @property
    def sha256(self) -> str | None:
        return self._content.sha256

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes]:
        chunks = self._content.chunks(start, stop)
        end_span = self._tracing.begin("source.stream") if self._tracing is not None else None
        waited = _Waited(self._metrics)
        failure: BaseException | None = None
        try:
            async for chunk in chunks:
                waited.ended(len(chunk))
                yield chunk
                waited.begun()
        except BaseException as error:
            # Also a client that leaves, which ends the generator or cancels it.
            failure = error
            raise
        finally:
            waited.close(failure)
            if end_span is not None:
                end_span(failure)
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def aclose(self) -> None:
        await self._content.aclose()


class _Waited:
    """Adds up the waits of one stream."""

    def __init__(self, metrics: Metrics | None) -> None:
        self._metrics = metrics
        self._has_first = False
        self._seconds = 0.0
        self._since = time.perf_counter()

    def begun(self) -> None:
        self._since = time.perf_counter()

    def ended(self, count: int) -> None:
        seconds = time.perf_counter() - self._since
        if self._metrics is None:
            return
        self._metrics.note_read(count)
        if self._has_first:
            self._seconds += seconds
        else:
            self._has_first = True
            self._metrics.note_source("first_read", seconds, None)

    def close(self, error: BaseException | None) -> None:
        if self._metrics is None:
            return
        if self._has_first:
            self._metrics.note_source("read", self._seconds, error)
        else:
            self._metrics.note_source("first_read", time.perf_counter() - self._since, error)


class TracedAdmission(Admission):
    """Admission with a span for each call; a refusal is no failure of it."""

    def __init__(
        self,
        store: Store,
        limits: Limits,
        tracing: Tracing,
        *,
        accounts: Container[str],
        resolving: Mapping[str, Resolve] | None = None,
    ) -> None:
        super().__init__(store, limits, accounts=accounts, resolving=resolving)
        self._tracing = tracing

    async def admit(self, authorization: str | None, route: Route, message_id: str, caller: Caller) -> AccountMessage:
        with self._span():
            return await super().admit(authorization, route, message_id, caller)

    async def admit_call(self, authorization: str | None, route: Route, caller: Caller) -> KeyRecord:
        with self._span():
            return await super().admit_call(authorization, route, caller)

    @contextmanager
    def _span(self) -> Iterator[None]:
        end_span = self._tracing.begin("admission")
        failure: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failure = None if isinstance(error, ApiError) else error
            raise
        finally:
            end_span(failure)
