"""The download's answer: which part of a file is asked for, and its bytes at ASGI level (contract section 7)."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from satchel.contract.errors import BadRequest, Reason
from satchel.contract.headers import content_disposition, repr_digest
from satchel.contract.ranges import ByteRange, if_match, if_none_match, if_range, parse_range, quote_etag
from satchel.gateway.api.boundary import StreamBroken
from satchel.gateway.service import next_chunk
from satchel.mail.source import AttachmentContent, SourceError

_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_UNKNOWN_TYPE = "application/octet-stream"
_TRAILERS = "http.response.trailers"
_CONDITIONS = ("if-match", "if-none-match")


def safe_content_type(content_type: str) -> str:
    """A file's own type if it is one by its form (RFC 6838 section 4.2), else that of unknown bytes. It comes from
    mail and may be anything."""
    return content_type if _TYPE.fullmatch(content_type) else _UNKNOWN_TYPE


@dataclass(frozen=True, slots=True)
class Plan:
    """How a download is answered. `span` is the part to send, None for the whole of a file of unknown size."""

    status: int
    span: ByteRange | None
    headers: dict[str, str]

    @property
    def has_body(self) -> bool:
        return self.status in {200, 206}


def plan_download(
    content: AttachmentContent, request_headers: dict[str, str | None], *, http_version: str = "1.1"
) -> Plan:
    """What to answer for an open file, given the request headers that `conditional_headers` reads.

    Conditions in the order of RFC 9110 section 13.2.2. Ranges need a known size; a validator needs an ETag. No date is
    told (Last-Modified), so the conditions on dates are ignored, as sections 13.1.3 and 13.1.4 ask.
    Raises RangeNotSatisfiable; ApiError 412 where If-Match names another version, and 505 for a file of unknown size
    asked for by HTTP/1.0, which knows no chunks: there the end of the connection would be the end of the file, and a
    broken one would look whole.
    """
    size, etag = content.size, content.etag
    headers = {"X-Content-Type-Options": "nosniff"}
    if not if_match(request_headers.get("if-match"), etag):
        raise BadRequest(
            "The file is not the version that If-Match names.", status=412, reason=Reason.PRECONDITION_FAILED
        )
    if etag is not None:
        headers["ETag"] = quote_etag(etag)
        if if_none_match(request_headers.get("if-none-match"), etag):
            return Plan(304, None, headers)
    if size is not None:
        headers["Accept-Ranges"] = "bytes"
    headers["Content-Type"] = safe_content_type(content.attachment.content_type)
    headers["Content-Disposition"] = content_disposition(content.attachment.name)
    if content.sha256 is not None:
        # Of the whole file, also with a part of it (RFC 9530 section 3.1).
        headers["Repr-Digest"] = repr_digest(content.sha256)
    if size is None:
        if http_version == "1.0":
            raise BadRequest("The size of this file is not known beforehand: ask for it by HTTP/1.1.", status=505)
        return Plan(200, None, headers)
    wanted = _wanted_range(request_headers, size, etag)
    if wanted is None:
        return Plan(200, ByteRange(0, size), headers | {"Content-Length": str(size)})
    return Plan(
        206, wanted, headers | {"Content-Range": wanted.content_range(size), "Content-Length": str(wanted.length)}
    )


def _wanted_range(request_headers: dict[str, str | None], size: int, etag: str | None) -> ByteRange | None:
    """Raises RangeNotSatisfiable."""
    condition = request_headers.get("if-range")
    if condition is not None and (etag is None or not if_range(condition, etag)):
        return None
    return parse_range(request_headers.get("range"), size)


class DownloadResponse(Response):
    """Streams an open attachment and closes it, whatever happens. The first bytes are asked for before the answer
    begins, so that a source which fails at once still gets an error answered.

    Raises ApiError before the answer has begun; StreamBroken when the source gives other than it announced.
    """

    def __init__(self, content: AttachmentContent, plan: Plan) -> None:
        super().__init__(status_code=plan.status)
        self._content = content
        self._plan = plan
        self.raw_headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in plan.headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] == "HEAD" or not self._plan.has_body:
                await self._start(send)
                await send({"type": "http.response.body", "body": b""})
            else:
                is_known = self._plan.span is not None or self._content.sha256 is not None
                trails = not is_known and _TRAILERS in (scope.get("extensions") or {})
                await self._stream(receive, send, trails=trails)
        finally:
            await self._content.aclose()

    async def _start(self, send: Send, *, trails: bool = False) -> None:
        start: Message = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if trails:
            start.update(headers=[*self.raw_headers, (b"trailer", b"Repr-Digest")], trailers=True)
        await send(start)

    async def _stream(self, receive: Receive, send: Send, *, trails: bool) -> None:
        """With `trails`, the digest follows the body: before it, the file was not known."""
        span = self._plan.span
        length = span.length if span is not None else None
        async with reading(self._content, span) as chunks:
            first = await next_chunk(chunks) or b""
            if len(first) == length:
                if await next_chunk(chunks) is not None:
                    raise StreamBroken("source_gave_too_much")
                await self._start(send)
                await send({"type": "http.response.body", "body": first})
                return
            await self._start(send, trails=trails)
            last = await unless_disconnected(_send_all(first, chunks, length, send), receive)
            if last is None:
                return
            await send({"type": "http.response.body", "body": last})
            if trails:
                await send({"type": _TRAILERS, "headers": self._trailer(), "more_trailers": False})

    def _trailer(self) -> list[tuple[bytes, bytes]]:
        sha256 = self._content.sha256
        return [] if sha256 is None else [(b"repr-digest", repr_digest(sha256).encode("ascii"))]


@asynccontextmanager
async def reading(content: AttachmentContent, span: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
    """The pieces of a content, or of a part of it, ended with the block however far they were read."""
    chunks = content.chunks(span.start, span.stop) if span is not None else content.chunks()
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


async def _send_all(first: bytes, chunks: AsyncIterator[bytes], length: int | None, send: Send) -> bytes:
    """Send all pieces but the last, which is given back once the source has confirmed that it was the last.

    Else a source that finds at its very end that the bytes were wrong could no longer make the answer look short.
    """
    held = first
    given = len(held)
    try:
        async for chunk in chunks:
            given += len(chunk)
            if length is not None and given > length:
                break
            await send({"type": "http.response.body", "body": held, "more_body": True})
            held = chunk
    except SourceError as error:
        raise StreamBroken(type(error).__name__) from error
    if length is not None and given != length:
        raise StreamBroken("source_gave_too_much" if given > length else "source_gave_too_little")
    return held


async def unless_disconnected(sending: Coroutine[Any, Any, bytes], receive: Receive) -> bytes | None:
    """The result of sending, or None when the client went away first; the sending is over in either case."""
    pump, watch = asyncio.create_task(sending), asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({pump, watch}, return_when=asyncio.FIRST_COMPLETED)
        return pump.result() if pump.done() else None
    finally:
        pump.cancel()
        watch.cancel()
        await asyncio.wait({pump, watch})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def conditional_headers(request: Request) -> dict[str, str | None]:
    """The request headers that `plan_download` reads; lines of one name are one list (RFC 9110 section 5.3), so that
    ranges on two lines are several. Ranges are for GET alone (section 14.2)."""
    names = _CONDITIONS if request.method == "HEAD" else (*_CONDITIONS, "range", "if-range")
    return {name: ", ".join(request.headers.getlist(name)) or None for name in names}
