"""The archive's answer: a message's files as one ZIP, made while it is sent (contract section 5). Keeps no content."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from satchel.contract.archives import ARCHIVE_NAME
from satchel.contract.errors import ApiError, BadRequest
from satchel.contract.headers import content_disposition
from satchel.gateway.admission import AccountMessage
from satchel.gateway.api.boundary import StreamBroken
from satchel.gateway.api.download import reading, unless_disconnected
from satchel.gateway.archive import ArchivePlan, Member, plan_archive
from satchel.gateway.service import AttachmentService, api_error
from satchel.gateway.zip_writer import ZipWriter
from satchel.mail.source import AttachmentContent, SourceError

# Small members go out together; a small archive is whole before its answer begins.
_SEND_BYTES = 64 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Batch:
    data: bytes
    is_last: bool


class Archives:
    """Makes archives. Names, checksums and compression are the work of so many threads."""

    def __init__(self, service: AttachmentService, *, threads: int) -> None:
        self._service = service
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="archive")

    async def open(self, message: AccountMessage) -> "OpenArchive":
        """The archive of a message; the caller closes it. Its first file is open by then. Raises ApiError."""
        attachments = await self._service.list(message)
        is_exact = self._service.lists_exact_sizes(message)
        # In a thread, because thousands of names take so long that all other calls would wait.
        plan = await self.run(partial(plan_archive, message.ref.message_id, attachments, sizes_are_exact=is_exact))
        first = await self._service.open(message, plan.members[0].attachment.id) if plan.members else None
        return OpenArchive(self, message, plan, first)

    async def open_member(self, message: AccountMessage, member: Member) -> AttachmentContent:
        """Raises ApiError."""
        return await self._service.open(message, member.attachment.id)

    async def run(self, work: Callable[[], T]) -> T:
        """Work for the processor, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class OpenArchive:
    """A planned archive. Holds one open file at a time and a piece of it."""

    def __init__(
        self, archives: Archives, message: AccountMessage, plan: ArchivePlan, first: AttachmentContent | None
    ) -> None:
        self._archives = archives
        self._message = message
        self.plan = plan
        self._first = first

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The archive's bytes, once. Raises ApiError, SourceError or StreamBroken; never ends early."""
        writer, plan = ZipWriter(), self.plan
        yield await self._archives.run(partial(_manifest, writer, plan))
        for member in plan.members:
            async with aclosing(self._member(writer, member)) as pieces:
                async for piece in pieces:
                    yield piece
        yield await self._archives.run(writer.finish)

    async def _member(self, writer: ZipWriter, member: Member) -> AsyncGenerator[bytes, None]:
        content, self._first = self._first, None
        if content is None:
            content = await self._archives.open_member(self._message, member)
        async with aclosing(content):
            if member.entry.size not in {None, content.size}:
                raise StreamBroken("member_changed")
            yield writer.begin(replace(member.entry, size=content.size))
            given = 0
            async with reading(content) as chunks:
                async for chunk in chunks:
                    given += len(chunk)
                    if content.size is not None and given > content.size:
                        raise StreamBroken("source_gave_too_much")
                    yield await self._archives.run(partial(writer.feed, chunk))
            if content.size is not None and given < content.size:
                raise StreamBroken("source_gave_too_little")
            yield writer.end()

    async def aclose(self) -> None:
        """Let go of what is open. May be called twice."""
        content, self._first = self._first, None
        if content is not None:
            await content.aclose()


def _manifest(writer: ZipWriter, plan: ArchivePlan) -> bytes:
    return b"".join((writer.begin(plan.manifest_entry), writer.feed(plan.manifest), writer.end()))


class ArchiveResponse(Response):
    """Streams an open archive and closes it, whatever happens. The answer begins with the first 64 KiB, so that what
    fails before is still answered as a failure, and an archive that is no longer than that has its length told.

    Raises ApiError before the answer has begun: 505 for an archive of unknown length asked for by HTTP/1.0, as a
    download; StreamBroken when a source fails or gives other than it announced.
    """

    def __init__(self, archive: OpenArchive) -> None:
        super().__init__(status_code=200)
        self._archive = archive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] == "HEAD":
                await self._start(self._archive.plan.length, send)
                await send({"type": "http.response.body", "body": b""})
            else:
                async with aclosing(_batches(self._archive)) as batches:
                    await self._stream(batches, scope, receive, send)
        finally:
            await self._archive.aclose()

    async def _stream(self, batches: AsyncGenerator[_Batch, None], scope: Scope, receive: Receive, send: Send) -> None:
        try:
            first = await anext(batches)
        except SourceError as error:
            raise api_error(error) from error
        length = len(first.data) if first.is_last else self._archive.plan.length
        if length is None and scope["http_version"] == "1.0":
            raise BadRequest("The length of this archive is not known beforehand: ask for it by HTTP/1.1.", status=505)
        await self._start(length, send)
        last = first.data
        if not first.is_last:
            sent = await unless_disconnected(_send_all(first.data, batches, length, send), receive)
            if sent is None:
                return
            last = sent
        await send({"type": "http.response.body", "body": last})

    async def _start(self, length: int | None, send: Send) -> None:
        headers = {
            "Content-Type": "application/zip",
            "Content-Disposition": content_disposition(ARCHIVE_NAME),
            "X-Content-Type-Options": "nosniff",
            "Accept-Ranges": "none",
            **({} if length is None else {"Content-Length": str(length)}),
        }
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status_code, "headers": raw})


async def _batches(archive: OpenArchive) -> AsyncGenerator[_Batch, None]:
    """The archive in batches of about one size."""
    waiting: list[bytes] = []
    waiting_bytes = 0
    async with aclosing(archive.pieces()) as pieces:
        async for piece in pieces:
            waiting.append(piece)
            waiting_bytes += len(piece)
            if waiting_bytes >= _SEND_BYTES:
                batch, waiting, waiting_bytes = b"".join(waiting), [], 0
                yield _Batch(batch, is_last=False)
    yield _Batch(b"".join(waiting), is_last=True)


async def _send_all(first: bytes, batches: AsyncGenerator[_Batch, None], length: int | None, send: Send) -> bytes:
    """Send all but the last batch, which is given back: it holds the end of the directory."""
    data, given, is_last = first, len(first), False
    try:
        while not is_last:
            await send({"type": "http.response.body", "body": data, "more_body": True})
            batch = await anext(batches)
            data, is_last = batch.data, batch.is_last
            given += len(data)
    except SourceError as error:
        raise StreamBroken(type(error).__name__) from error
    except ApiError as error:
        raise StreamBroken(error.reason) from error
    if length is not None and given != length:
        raise StreamBroken("archive_of_another_length")
    return data
