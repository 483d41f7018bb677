"""The asynchronous client: the calls of the API, retried as the policy says."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

import msgspec

from satchel.client.calls import REAL, Ambience, Calls
from satchel.client.download import Downloaded, OnProgress, download
from satchel.client.errors import ArchiveNotOffered, ClientError, UnexpectedAnswer
from satchel.client.pages import ReportPage, decode_mailboxes, decode_page
from satchel.client.reports import DEFAULT_PATIENCE, ReportPatience, ReportRequest, Walk, read_report
from satchel.client.retry import DEFAULT_RETRIES, RetryPolicy
from satchel.client.stream import AttachmentStream, read_head
from satchel.client.target import Target
from satchel.client.transport import DEFAULT_TIMEOUTS, Timeouts
from satchel.contract.attachments import Attachment, decode_attachments
from satchel.contract.errors import ApiError, NotFound
from satchel.contract.headers import RateLimitState
from satchel.contract.mailboxes import Mailbox
from satchel.contract.ranges import quote_etag
from satchel.contract.reports import MAX_PAGE_ROWS, ReceivedMessage
from satchel.contract.routes import (
    DOWNLOAD_ARCHIVE,
    DOWNLOAD_ATTACHMENT,
    LIST_ATTACHMENTS,
    LIST_MAILBOXES,
    REPORT_RECEIVED_MESSAGES,
    Route,
)


class AsyncClient:
    """A client of the API, for Satchel's gateway and for the public service. Use it with `async with`.

    `base_url` may end in `/` or `/api/v1`. Plain HTTP is refused beyond this machine unless `allow_http` is true.
    Calls raise `contract.errors.ApiError` where the server explains the failure, and `ClientError` otherwise.
    Raises ConfigurationError for a URL or key that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        retry: RetryPolicy = DEFAULT_RETRIES,
        allow_http: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        ambience: Ambience = REAL,
    ) -> None:
        target = Target.parse(base_url, api_key, allow_http=allow_http)
        self._calls = Calls(target, timeouts, retry, ssl_context, ambience)

    def __repr__(self) -> str:
        return f"AsyncClient({self._calls.target.root!r})"

    async def __aenter__(self) -> Self:
        await self._calls.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. May be called twice."""
        await self._calls.aclose()

    @property
    def rate_limit(self) -> RateLimitState | None:
        """The account's budget by the last answer that told it; None where the server does not tell."""
        return self._calls.rate_limit

    async def list_attachments(self, message_id: str) -> list[Attachment]:
        """All attachments of a message (contract section 6). Unknown fields of a newer server are ignored."""
        url = self._url(LIST_ATTACHMENTS, message_id=message_id)
        return await self._calls.read(url, lambda body, _: decode_attachments(body), "list of attachments")

    async def mailboxes(self) -> list[Mailbox]:
        """The mailboxes that the key may see (contract section 10)."""
        url = self._url(LIST_MAILBOXES)
        return await self._calls.read(url, lambda body, _: decode_mailboxes(body), "list of mailboxes")

    def messages(
        self,
        mailbox: str,
        since: datetime,
        until: datetime | None = None,
        *,
        page_rows: int = MAX_PAGE_ROWS,
        participants: bool = False,
        patience: ReportPatience = DEFAULT_PATIENCE,
    ) -> AsyncGenerator[ReceivedMessage]:
        """What a mailbox received from `since` to `until`, in the order of the rows' ids, by a report (section 11).

        `mailbox` is an address or an id. Both instants need a time zone, count to the second, and are included;
        without `until` it is all that has come by now. `participants` asks for `to` and `cc` too. One page of
        `page_rows` is held at a time; a result that the server has dropped meanwhile is begun anew behind the last
        row, and no id comes twice. Raises ValueError for arguments that cannot be; while iterating NotFound for a
        mailbox that the key may not see, ReportFailed, ReportUnfinished, and what calls raise.
        """
        return self._messages(ReportRequest(mailbox, since, until, page_rows, participants), Walk(patience))

    async def _messages(self, request: ReportRequest, walk: Walk) -> AsyncGenerator[ReceivedMessage]:
        if "@" in request.mailbox_id:
            request = replace(request, mailbox_id=await self._mailbox_id(request.mailbox_id))
        ambience = self._calls.ambience
        async with aclosing(read_report(_Report(self._calls, request), walk, ambience.random, ambience.sleep)) as rows:
            async for row in rows:
                yield row

    async def _mailbox_id(self, address: str) -> str:
        wanted = address.strip().lower()
        for each in await self.mailboxes():
            if each.mailbox_email.lower() == wanted:
                return each.mailbox_id
        raise NotFound("The key may see no mailbox of this address.")

    def open_attachment(
        self, message_id: str, attachment_id: str, *, start: int = 0, etag: str | None = None
    ) -> AbstractAsyncContextManager[AttachmentStream]:
        """Open a download (contract section 7), from the byte `start` on where the server can do so.

        With `etag` (from an earlier stream) a range comes only if the attachment is still the same, and otherwise the
        whole: look at `.start`. Opening is retried; a break while iterating is not, but raises IncompleteBody.
        """
        return self._open_retrying(message_id, attachment_id, start, etag)

    async def download(
        self,
        message_id: str,
        attachment_id: str,
        path: Path,
        *,
        expected_size: int | None = None,
        overwrite: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Downloaded:
        """Download into the file `path`, which appears only when it is whole and on disk.

        A break is resumed where the server allows it and begun again otherwise, as the retry policy says. The
        listed size is no promise of every server, so it is checked only as `expected_size`. `on_progress` gets the
        bytes so far and the whole size, or None where that is unknown. Raises AlreadyExists unless `overwrite`,
        SizeMismatch, OSError of the disk, and what calls raise; then no file of that name is left.
        """

        def open_once(start: int, etag: str | None) -> AbstractAsyncContextManager[AttachmentStream]:
            return self._open_once(message_id, attachment_id, start, etag)

        return await download(
            open_once,
            Path(path),
            expected_size=expected_size,
            overwrite=overwrite,
            on_progress=on_progress,
            before_retry=self._calls.before_retry,
        )

    async def download_archive(
        self, message_id: str, path: Path, *, overwrite: bool = False, on_progress: OnProgress | None = None
    ) -> Downloaded:
        """Download all files of a message as one ZIP with a manifest, into the file `path`, as `download` does.

        One call against the account's rate. An archive cannot be continued: after a break it is begun again. Raises
        ArchiveNotOffered where the server knows the message but makes no archives, and else what `download` raises.
        """
        url = self._url(DOWNLOAD_ARCHIVE, message_id=message_id)

        def open_once(start: int, etag: str | None) -> AbstractAsyncContextManager[AttachmentStream]:
            return self._open_archive(url)

        try:
            return await download(
                open_once,
                Path(path),
                expected_size=None,
                overwrite=overwrite,
                on_progress=on_progress,
                before_retry=self._calls.before_retry,
            )
        except NotFound as failure:
            # The public service has no such path and says so with the same answer as for an unknown message.
            if await self._knows(message_id):
                raise ArchiveNotOffered(
                    "The server makes no archives. Download the files one by one (satchel fetch)."
                ) from failure
            raise

    async def _knows(self, message_id: str) -> bool:
        try:
            await self.list_attachments(message_id)
        except (ApiError, ClientError):
            return False
        return True

    @asynccontextmanager
    async def _open_archive(self, url: str) -> AsyncIterator[AttachmentStream]:
        async with self._calls.send(url) as answer:
            head = read_head(answer, asked_start=0)
            if answer.status != 200 or head.content_type != "application/zip":
                raise UnexpectedAnswer(f"The answer (HTTP {answer.status}) is no ZIP.", status=answer.status)
            async with aclosing(answer.pieces()) as pieces:
                # Never continued, whatever a proxy says: it is made anew each time.
                yield AttachmentStream(replace(head, etag=None), pieces)

    @asynccontextmanager
    async def _open_retrying(
        self, message_id: str, attachment_id: str, start: int, etag: str | None
    ) -> AsyncIterator[AttachmentStream]:
        async with AsyncExitStack() as stack:

            async def once() -> AttachmentStream:
                return await stack.enter_async_context(self._open_once(message_id, attachment_id, start, etag))

            yield await self._calls.retrying(once)

    @asynccontextmanager
    async def _open_once(
        self, message_id: str, attachment_id: str, start: int, etag: str | None
    ) -> AsyncIterator[AttachmentStream]:
        headers = {}
        if start > 0:
            headers["Range"] = f"bytes={start}-"
            if etag is not None:
                headers["If-Range"] = quote_etag(etag)
        url = self._url(DOWNLOAD_ATTACHMENT, message_id=message_id, attachment_id=attachment_id)
        async with self._calls.send(url, headers=headers) as answer:
            if answer.status not in {200, 206}:
                raise UnexpectedAnswer(f"The server answered HTTP {answer.status} to a download.", status=answer.status)
            head = read_head(answer, asked_start=start)
            if head.start > 0 and etag is not None and head.etag != etag:
                raise UnexpectedAnswer("The server sent a range of another version of the attachment.", status=206)
            async with aclosing(answer.pieces()) as pieces:
                yield AttachmentStream(head, pieces)

    def _url(self, route: Route, **ids: str) -> str:
        """Where the route is. An id that could lead to another path, or that no server gives out, is an unknown one."""
        for value in ids.values():
            if value in {"", ".", ".."} or not value.isprintable():
                raise NotFound("The message or attachment id is empty or has characters that no id has.")
        return self._calls.target.url(route.url(**ids))


class _Report:
    """The calls of one report. Links are followed as the server gives them, below the base URL."""

    def __init__(self, calls: Calls, request: ReportRequest) -> None:
        self._calls = calls
        self._request = request

    async def begin(self, starting_after: int | None) -> ReportPage:
        url = self._calls.target.url(REPORT_RECEIVED_MESSAGES.url())
        query = urlencode(self._request.query(starting_after), safe=",")
        body = msgspec.json.encode(self._request.body())
        return await self._calls.begin(f"{url}?{query}", body, decode_page, "report")

    async def ask(self, href: str) -> ReportPage:
        return await self._calls.read(self._calls.target.follow(href), decode_page, "report")
