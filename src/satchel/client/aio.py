"""The asynchronous client: the calls of the API, retried as the policy says."""

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

from satchel.client.download import Downloaded, OnProgress, download
from satchel.client.errors import ArchiveNotOffered, ClientError, ConfigurationError, UnexpectedAnswer
from satchel.client.retry import DEFAULT_RETRIES, RetryIn, RetryPolicy
from satchel.client.stream import AttachmentStream, read_head
from satchel.client.target import Target
from satchel.client.transport import DEFAULT_TIMEOUTS, Answer, Timeouts, Transport
from satchel.contract.attachments import Attachment, decode_attachments
from satchel.contract.errors import ApiError, NotFound, decode_error
from satchel.contract.headers import RateLimitState, parse_rate_limit, parse_retry_after
from satchel.contract.ranges import quote_etag
from satchel.contract.routes import DOWNLOAD_ARCHIVE, DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS, Route

# The standard library's: the program that embeds the SDK decides where this goes.
log = logging.getLogger(__name__)

_MAX_LIST_BYTES = 64 * 1024 * 1024
_MAX_ERROR_BYTES = 64 * 1024

Result = TypeVar("Result")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Ambience:
    """Time and randomness, so that tests need neither."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    now: Callable[[], datetime] = _now


REAL = Ambience()


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
        self._target = Target.parse(base_url, api_key, allow_http=allow_http)
        self._timeouts = timeouts
        self._ssl_context = ssl_context
        self._ambience = ambience
        self._transport: Transport | None = None
        self.retry = retry
        self.rate_limit: RateLimitState | None = None
        """The account's budget by the last answer that told it; None where the server does not tell."""

    def __repr__(self) -> str:
        return f"AsyncClient({self._target.root!r})"

    async def __aenter__(self) -> Self:
        self._transport = Transport(self._timeouts, self._ssl_context)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. May be called twice."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    async def list_attachments(self, message_id: str) -> list[Attachment]:
        """All attachments of a message (contract section 6). Unknown fields of a newer server are ignored."""

        async def once() -> list[Attachment]:
            async with self._get(_path(LIST_ATTACHMENTS, message_id=message_id), {}) as answer:
                if answer.status != 200:
                    raise UnexpectedAnswer(f"The server answered HTTP {answer.status} to a list.", status=answer.status)
                return _decode_list(await answer.read(_MAX_LIST_BYTES), answer)

        return await self._retrying(once)

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
            before_retry=self._before_retry,
        )

    async def download_archive(
        self, message_id: str, path: Path, *, overwrite: bool = False, on_progress: OnProgress | None = None
    ) -> Downloaded:
        """Download all files of a message as one ZIP with a manifest, into the file `path`, as `download` does.

        One call against the account's rate. An archive cannot be continued: after a break it is begun again. Raises
        ArchiveNotOffered where the server knows the message but makes no archives, and else what `download` raises.
        """
        url_path = _path(DOWNLOAD_ARCHIVE, message_id=message_id)

        def open_once(start: int, etag: str | None) -> AbstractAsyncContextManager[AttachmentStream]:
            return self._open_archive(url_path)

        try:
            return await download(
                open_once,
                Path(path),
                expected_size=None,
                overwrite=overwrite,
                on_progress=on_progress,
                before_retry=self._before_retry,
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
    async def _open_archive(self, path: str) -> AsyncIterator[AttachmentStream]:
        async with self._get(path, {}) as answer:
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

            yield await self._retrying(once)

    @asynccontextmanager
    async def _open_once(
        self, message_id: str, attachment_id: str, start: int, etag: str | None
    ) -> AsyncIterator[AttachmentStream]:
        headers = {}
        if start > 0:
            headers["Range"] = f"bytes={start}-"
            if etag is not None:
                headers["If-Range"] = quote_etag(etag)
        path = _path(DOWNLOAD_ATTACHMENT, message_id=message_id, attachment_id=attachment_id)
        async with self._get(path, headers) as answer:
            if answer.status not in {200, 206}:
                raise UnexpectedAnswer(f"The server answered HTTP {answer.status} to a download.", status=answer.status)
            head = read_head(answer, asked_start=start)
            if head.start > 0 and etag is not None and head.etag != etag:
                raise UnexpectedAnswer("The server sent a range of another version of the attachment.", status=206)
            async with aclosing(answer.pieces()) as pieces:
                yield AttachmentStream(head, pieces)

    @asynccontextmanager
    async def _get(self, path: str, headers: dict[str, str]) -> AsyncIterator[Answer]:
        if self._transport is None:
            raise ConfigurationError("The client is not open. Use it with `async with AsyncClient(...) as client:`.")
        headers = {**headers, "Authorization": self._target.authorization()}
        async with self._transport.get(self._target.url(path), headers) as answer:
            limit = parse_rate_limit(answer.header("RateLimit-Policy"), answer.header("RateLimit"))
            self.rate_limit = limit if limit is not None else self.rate_limit
            if answer.status >= 400:
                wait = parse_retry_after(answer.header("Retry-After"), self._ambience.now())
                body = await answer.read_some(_MAX_ERROR_BYTES)
                raise decode_error(answer.status, body, retry_after_seconds=wait)
            if 300 <= answer.status < 400:
                raise UnexpectedAnswer(
                    f"The server redirects (HTTP {answer.status}), and keys are not sent elsewhere. "
                    "Use the base URL of the API itself.",
                    status=answer.status,
                )
            yield answer

    async def _retrying(self, once: Callable[[], Awaitable[Result]]) -> Result:
        attempt = 1
        while True:
            try:
                return await once()
            except (ApiError, ClientError) as failure:
                if not await self._before_retry(failure, attempt):
                    raise
            attempt += 1

    async def _before_retry(self, failure: ApiError | ClientError, attempt: int) -> bool:
        """Wait as the policy says and return True, or return False where the failure is final."""
        decision = self.retry.decide(failure, attempt, self._ambience.random())
        if not isinstance(decision, RetryIn):
            return False
        log.info("call retried in %.1f s, attempt %d: %s", decision.wait_seconds, attempt, type(failure).__name__)
        await self._ambience.sleep(decision.wait_seconds)
        return True


def _path(route: Route, **ids: str) -> str:
    """The route's path. An id that could lead to another path, or that no server gives out, is an unknown one."""
    for value in ids.values():
        if value in {"", ".", ".."} or not value.isprintable():
            raise NotFound("The message or attachment id is empty or has characters that no id has.")
    return route.url(**ids)


def _decode_list(body: bytes, answer: Answer) -> list[Attachment]:
    try:
        return decode_attachments(body)
    except ValueError:
        kind = "an HTML page" if "html" in (answer.header("Content-Type") or "").lower() else "no list of attachments"
        raise UnexpectedAnswer(
            f"The answer (HTTP {answer.status}) is {kind}. "
            "Does the base URL lead to the API, or to a portal or a proxy?",
            status=answer.status,
        ) from None
