"""A fake gateway for tests: contract sections 4 to 7, 10 and 11 from memory, with faults to switch on and every call
counted.

It checks the key, the scopes and the ids as the contract says, but knows no rates and no webhooks.
"""

import asyncio
import io
import zipfile
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import msgspec
from aiohttp import web

from satchel.contract.archives import ARCHIVE_NAME, MANIFEST_PATH, describe_archive
from satchel.contract.attachments import Attachment, AttachmentList, AttachmentType
from satchel.contract.errors import (
    ApiError,
    Forbidden,
    Link,
    NotFound,
    Reason,
    Unauthorized,
    encode_error,
    error_class,
)
from satchel.contract.headers import RateLimitState, content_disposition, retry_after
from satchel.contract.ranges import (
    ByteRange,
    RangeNotSatisfiable,
    if_none_match,
    if_range,
    parse_range,
    quote_etag,
)
from satchel.contract.routes import (
    DOWNLOAD_ARCHIVE,
    DOWNLOAD_ATTACHMENT,
    LIST_ATTACHMENTS,
    LIST_MAILBOXES,
    REPORT_RECEIVED_MESSAGES,
    REPORT_RESULTS,
    Route,
)
from satchel.contract.scopes import Scope
from satchel.testing.content import Content, Given, sha256
from satchel.testing.faults import Fault, Html, LongBody, NoAnswer, Refuse, Reset, ShortBody, Stall
from satchel.testing.reports import FakeReports

Call = Literal["list", "download", "archive", "mailboxes", "report", "results"]


@dataclass(frozen=True, slots=True)
class FakeAttachment:
    """An attachment as it is listed, and its bytes."""

    attachment: Attachment
    content: Content

    @property
    def sha256(self) -> str:
        return sha256(self.content)


@dataclass(frozen=True, slots=True)
class ReceivedCall:
    """One call that came in, before any fault. `range` is the header as sent; ids are empty where the call has none."""

    call: Call
    method: str
    message_id: str
    attachment_id: str | None
    range: str | None
    if_range: str | None
    path_qs: str


@dataclass(slots=True)
class Behaviour:
    """Switches that stay until they are changed. All off is a server that knows nothing but the public contract."""

    ranges: bool = True
    etags: bool = True
    chunked: bool = False
    latency_seconds: float = 0.0
    rate_limit: RateLimitState | None = None
    archives: bool = True
    extra_fields: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class _Planned:
    fault: Fault
    call: Call | None
    attachment_id: str | None
    left: int | None


class FakeGateway:
    """A server on a free port of 127.0.0.1; use it with `async with`.

    `messages` and `reports` hold what it serves, `calls` what it was asked, `behaviour` and `reports.behaviour` the
    switches; `fail` plans faults.
    """

    def __init__(self, *, api_key: str = "test-key", scopes: frozenset[Scope] = frozenset(Scope)) -> None:
        self.api_key = api_key
        self.scopes = scopes
        self.behaviour = Behaviour()
        self.messages: dict[str, dict[str, FakeAttachment]] = {}
        self.reports = FakeReports()
        self.calls: list[ReceivedCall] = []
        self.open_downloads = 0
        self._planned: deque[_Planned] = deque()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(LIST_ATTACHMENTS.path, self._handler("list", LIST_ATTACHMENTS, self._list))
        app.router.add_get(DOWNLOAD_ATTACHMENT.path, self._handler("download", DOWNLOAD_ATTACHMENT, self._download))
        app.router.add_get(DOWNLOAD_ARCHIVE.path, self._handler("archive", DOWNLOAD_ARCHIVE, self._archive))
        app.router.add_get(LIST_MAILBOXES.path, self._handler("mailboxes", LIST_MAILBOXES, self._mailboxes))
        app.router.add_post(
            REPORT_RECEIVED_MESSAGES.path, self._handler("report", REPORT_RECEIVED_MESSAGES, self._report)
        )
        app.router.add_get(REPORT_RESULTS.path, self._handler("results", REPORT_RESULTS, self._results))
        # A stalled answer must not hold up the end of a test.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def add(
        self,
        message_id: str,
        name: str,
        content: bytes | Content,
        *,
        content_type: str = "application/octet-stream",
        attachment_type: str = AttachmentType.FILE,
        is_inline: bool | None = None,
        listed_size: int | None = None,
    ) -> FakeAttachment:
        """Give a message one more attachment; its id is made from the message's and a number.

        `listed_size` is what the list says where that is not the truth, as with Graph.
        """
        body = Given(content) if isinstance(content, bytes) else content
        attachments = self.messages.setdefault(message_id, {})
        added = FakeAttachment(
            Attachment(
                id=f"{message_id}-{len(attachments) + 1}=",
                name=name,
                content_type=content_type,
                size=body.size if listed_size is None else listed_size,
                attachment_type=attachment_type,
                is_inline=is_inline,
            ),
            body,
        )
        attachments[added.attachment.id] = added
        return added

    def replace(self, message_id: str, attachment_id: str, content: bytes | Content) -> None:
        """Change an attachment's bytes behind its id, as a mail server may between two calls."""
        body = Given(content) if isinstance(content, bytes) else content
        attachments = self.messages[message_id]
        attachments[attachment_id] = FakeAttachment(attachments[attachment_id].attachment, body)

    def fail(
        self, fault: Fault, *, times: int | None = 1, call: Call | None = None, attachment_id: str | None = None
    ) -> None:
        """Plan a fault for the next calls (None: for all), of one kind or of one attachment only."""
        self._planned.append(_Planned(fault, call, attachment_id, times))

    def heal(self) -> None:
        """Forget all planned faults."""
        self._planned.clear()

    def count(self, call: Call | None = None, attachment_id: str | None = None) -> int:
        """How many calls came, of one kind or for one attachment."""
        return sum(
            1
            for each in self.calls
            if call in {None, each.call} and (attachment_id is None or each.attachment_id == attachment_id)
        )

    def _handler(
        self, call: Call, route: Route, answer: Callable[[web.Request, Fault | None], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            fault = self._note(call, request)
            if self.behaviour.latency_seconds:
                await asyncio.sleep(self.behaviour.latency_seconds)
            try:
                self._admit(request, route)
                if isinstance(fault, Refuse):
                    raise error_class(fault.status)("Planned by the test.", status=fault.status, reason=fault.reason)
                if isinstance(fault, NoAnswer):
                    return await _hang_up(request)
                if isinstance(fault, Html):
                    return _html(fault)
                return await answer(request, fault)
            except ApiError as error:
                return await self._refusal(request, error, fault)

        return handle

    def _note(self, call: Call, request: web.Request) -> Fault | None:
        attachment_id = request.match_info.get("attachment_id")
        self.calls.append(
            ReceivedCall(
                call=call,
                method=request.method,
                message_id=request.match_info.get("message_id", ""),
                attachment_id=attachment_id,
                range=request.headers.get("Range"),
                if_range=request.headers.get("If-Range"),
                path_qs=request.path_qs,
            )
        )
        for planned in self._planned:
            if planned.call in {None, call} and planned.attachment_id in {None, attachment_id} and planned.left != 0:
                planned.left = None if planned.left is None else planned.left - 1
                return planned.fault
        return None

    def _admit(self, request: web.Request, route: Route) -> None:
        if request.headers.get("Authorization") != f"Bearer {self.api_key}":
            raise Unauthorized("The API key is missing or not known.")
        if not route.scopes <= self.scopes:
            raise Forbidden("Token does not have the required scope for this endpoint.", reason=Reason.MISSING_SCOPE)

    def _headers(self) -> dict[str, str]:
        limit = self.behaviour.rate_limit
        return {} if limit is None else limit.headers()

    async def _refusal(self, request: web.Request, error: ApiError, fault: Fault | None) -> web.Response:
        headers = self._headers()
        if isinstance(fault, Refuse) and fault.retry_after is not None:
            headers["Retry-After"] = fault.retry_after
        if error.retry_after_seconds is not None:
            headers["Retry-After"] = retry_after(error.retry_after_seconds)
        body = encode_error(error, Link(str(request.url), request.method, _any_json(await request.read())))
        return web.Response(status=error.status, body=body, content_type="application/json", headers=headers)

    async def _list(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        attachments = self.messages.get(request.match_info["message_id"])
        if attachments is None:
            raise NotFound("Message or attachment not found.")
        answer = msgspec.to_builtins(AttachmentList([each.attachment for each in attachments.values()]))
        for each in answer["attachments"]:
            each.update(self.behaviour.extra_fields)
        return await self._json(request, answer, fault)

    async def _mailboxes(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        return await self._json(request, self.reports.listed(), fault)

    async def _report(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        begun = self.reports.begin(self.url, request.path_qs, request.query, await request.read())
        return await self._json(request, begun, fault)

    async def _results(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        page = self.reports.page(self.url, request.match_info["run_id"], request.query)
        return await self._json(request, page, fault)

    async def _json(self, request: web.Request, value: object, fault: Fault | None) -> web.StreamResponse:
        body = msgspec.json.encode(value)
        headers = {**self._headers(), "Content-Type": "application/json"}
        return await _send(request, web.StreamResponse(headers=headers), Given(body), ByteRange(0, len(body)), fault)

    async def _download(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        found = self.messages.get(request.match_info["message_id"], {}).get(request.match_info["attachment_id"])
        if found is None:
            raise NotFound("Message or attachment not found.")
        if not found.attachment.is_file:
            raise Forbidden("Only file attachments can be downloaded.", reason=Reason.ATTACHMENT_TYPE_NOT_DOWNLOADABLE)
        headers = {
            **self._headers(),
            "Content-Type": found.attachment.content_type,
            "Content-Disposition": content_disposition(found.attachment.name),
            "X-Content-Type-Options": "nosniff",
        }
        tag = found.content.version if self.behaviour.etags else None
        if tag is not None:
            headers["ETag"] = quote_etag(tag)
            if if_none_match(request.headers.get("If-None-Match"), tag):
                return web.Response(status=304, headers=headers)
        part, size = self._part(request, tag, found.content.size), found.content.size
        if self.behaviour.ranges:
            headers["Accept-Ranges"] = "bytes"
        if part is not None:
            headers["Content-Range"] = part.content_range(size)
        answer = web.StreamResponse(status=200 if part is None else 206, headers=headers)
        if self.behaviour.chunked:
            answer.enable_chunked_encoding()
        self.open_downloads += 1
        try:
            return await _send(request, answer, found.content, part or ByteRange(0, size), fault)
        finally:
            self.open_downloads -= 1

    async def _archive(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        """Made in memory, as this is a fake. Without `behaviour.archives` there is no such path."""
        message_id = request.match_info["message_id"]
        attachments = self.messages.get(message_id)
        if attachments is None or not self.behaviour.archives:
            raise NotFound("Message or attachment not found.")
        body = Given(_zipped(message_id, list(attachments.values())))
        headers = {
            **self._headers(),
            "Content-Type": "application/zip",
            "Content-Disposition": content_disposition(ARCHIVE_NAME),
            "X-Content-Type-Options": "nosniff",
            "Accept-Ranges": "none",
        }
        answer = web.StreamResponse(headers=headers)
        if self.behaviour.chunked:
            answer.enable_chunked_encoding()
        return await _send(request, answer, body, ByteRange(0, body.size), fault)

    def _part(self, request: web.Request, tag: str | None, size: int) -> ByteRange | None:
        condition = request.headers.get("If-Range")
        if not self.behaviour.ranges or (condition is not None and (tag is None or not if_range(condition, tag))):
            return None
        try:
            return parse_range(request.headers.get("Range"), size)
        except RangeNotSatisfiable:
            raise error_class(416)(
                "The range lies behind the end.", status=416, reason=Reason.RANGE_NOT_SATISFIABLE
            ) from None


async def _send(
    request: web.Request, answer: web.StreamResponse, content: Content, part: ByteRange, fault: Fault | None
) -> web.StreamResponse:
    if not answer.chunked:
        answer.content_length = part.length
    await answer.prepare(request)
    stop = part.stop
    if isinstance(fault, ShortBody | Reset | Stall):
        stop = min(stop, part.start + fault.after_bytes)
    for piece in content.pieces(part.start, stop if request.method != "HEAD" else part.start):
        await answer.write(piece)
    transport = request.transport
    if isinstance(fault, Stall):
        await asyncio.Event().wait()
    if transport is not None and isinstance(fault, Reset):
        transport.abort()
    if transport is not None and isinstance(fault, LongBody):
        transport.write(b"!" * fault.extra_bytes)
    if transport is not None and isinstance(fault, ShortBody | LongBody):
        transport.close()
    return answer


def _zipped(message_id: str, attachments: Sequence[FakeAttachment]) -> bytes:
    described = describe_archive(message_id, [each.attachment for each in attachments])
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(MANIFEST_PATH, msgspec.json.encode(described))
        for told, each in zip(described.attachments, attachments, strict=True):
            if told.path is not None:
                archive.writestr(told.path, b"".join(each.content.pieces(0, each.content.size)))
    return target.getvalue()


def _any_json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


async def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def _html(fault: Html) -> web.Response:
    headers = {} if fault.location is None else {"Location": fault.location}
    page = "<!doctype html><title>Sign in</title><p>Please sign in.</p>"
    return web.Response(status=fault.status, text=page, content_type="text/html", headers=headers)
