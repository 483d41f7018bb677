"""A mail server's HTTP API as a double: nginx with files and lists, and the mail source that streams from it.

What a request to the mail server costs the gateway is in every figure, so the source does what a source over HTTP has
to: a list is fetched and decoded, a download is one streamed request.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import msgspec

from satchel.contract.attachments import Attachment, AttachmentList, AttachmentType
from satchel.contract.events import EmailAddress, Recipient
from satchel.mail.source import (
    AttachmentContent,
    AttachmentNotFound,
    Batch,
    MessageNotFound,
    MessageRef,
    MessageSummary,
    SourceUnavailable,
)

MAILBOX = "invoices@example.test"
MESSAGE_ID = "bench-message"
_READ_BYTES = 256 * 1024
_NOBODY = Recipient(EmailAddress("", "sender@example.test"))


def file_attachment(name: str, size: int) -> Attachment:
    return Attachment(
        id=name,
        name=f"{name}.bin",
        content_type="application/octet-stream",
        size=size,
        attachment_type=AttachmentType.FILE,
    )


def write_upstream(folder: Path, sizes: dict[str, int]) -> None:
    """The files that nginx serves: attachments by their ids, and the list of them."""
    www = folder / "www"
    www.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        with (www / name).open("wb") as file:
            file.truncate(size)
    found = [file_attachment(name, size) for name, size in sizes.items()]
    (www / "list.json").write_bytes(msgspec.json.encode(AttachmentList(found)))


class HttpContent:
    """An attachment over HTTP: its headers are there, its body comes as it is read."""

    def __init__(self, answer: aiohttp.ClientResponse, attachment: Attachment) -> None:
        self._answer = answer
        self._attachment = attachment

    @property
    def attachment(self) -> Attachment:
        return self._attachment

    @property
    def size(self) -> int | None:
        return self._attachment.size

    @property
    def etag(self) -> str | None:
        return None

    @property
    def sha256(self) -> str | None:
        return None

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        if start or stop not in (None, self.size):
            raise SourceUnavailable("the double streams whole files, once")
        try:
            async for chunk in self._answer.content.iter_any():
                yield chunk
        except aiohttp.ClientError as error:
            raise SourceUnavailable("upstream broke off") from error

    async def aclose(self) -> None:
        # A connection whose body was not read to its end cannot be used again.
        if self._answer.content.is_eof():
            self._answer.release()
        else:
            self._answer.close()


class HttpSource:
    """A `MailSource` of one message in one mailbox."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_READ_BYTES,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60),
        )

    async def watch(self) -> AsyncIterator[Batch]:
        message = MessageRef(MAILBOX, MESSAGE_ID, MESSAGE_ID)
        yield Batch([message], read_to_end=frozenset({MAILBOX}), ends_first_pass=True)

    async def describe(self, message: MessageRef) -> MessageSummary:
        now = datetime.now(UTC)
        return MessageSummary(message, "<bench@example.test>", "bench", now, _NOBODY, _NOBODY, (), (), "bench", True)

    async def list(self, message: MessageRef) -> Sequence[Attachment]:
        async with self._session.get(f"{self._base_url}/list.json") as answer:
            if answer.status != 200:
                raise MessageNotFound("no such message")
            return msgspec.json.decode(await answer.read(), type=AttachmentList).attachments

    async def text(self, message: MessageRef, max_characters: int) -> str | None:
        return None

    async def open(self, message: MessageRef, attachment_id: str) -> AttachmentContent:
        answer = await self._session.get(f"{self._base_url}/{attachment_id}")
        if answer.status != 200:
            answer.close()
            if answer.status == 404:
                raise AttachmentNotFound("no such attachment")
            raise SourceUnavailable("upstream refused", upstream_status=answer.status)
        return HttpContent(answer, file_attachment(attachment_id, answer.content_length or 0))

    async def resolve(self, message_id: str, mailboxes: Collection[str]) -> MessageRef | None:
        return None

    async def mailboxes(self) -> Sequence[str]:
        return [MAILBOX]

    async def aclose(self) -> None:
        await self._session.close()
