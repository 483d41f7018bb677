"""An open attachment of a mail folder: decodes piece by piece in threads, at most one piece ahead of its reader."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

from satchel.contract.attachments import Attachment
from satchel.mail.folder.message import OpenMessage
from satchel.mail.folder.threads import Threads, drop
from satchel.mail.mime import FoundAttachment, SizeIndex, decode
from satchel.mail.source import SourceUnavailable


class FolderContent:
    """An `AttachmentContent`. It owns the open message and closes it."""

    def __init__(
        self,
        message: OpenMessage,
        found: FoundAttachment,
        sizes: SizeIndex,
        attachment: Attachment,
        etag: str,
        threads: Threads,
    ) -> None:
        self._message = message
        self._found = found
        self._sizes = sizes
        self._attachment = attachment
        self._etag = etag
        self._threads = threads

    @property
    def attachment(self) -> Attachment:
        return self._attachment

    @property
    def size(self) -> int | None:
        return self._sizes.total

    @property
    def etag(self) -> str | None:
        return self._etag

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        end = self._sizes.total if stop is None else min(stop, self._sizes.total)
        left = end - start
        if left <= 0:
            return
        take = self._taker(start, end)
        ahead: asyncio.Future[bytes] | None = self._threads.submit(take)
        try:
            while ahead is not None:
                piece = await ahead
                left -= len(piece)
                if left < 0 or not piece:
                    raise SourceUnavailable("The attachment turned out to have another length than when it was opened.")
                ahead = self._threads.submit(take) if left else None
                yield piece
        finally:
            if ahead is not None:
                drop(ahead)

    async def aclose(self) -> None:
        """Closes the file, or leaves that to the thread that reads from it just now."""
        self._message.close()

    def close(self) -> None:
        self._message.close()

    def _taker(self, start: int, end: int) -> Callable[[], bytes]:
        """A function that returns the next piece and has checked it against a change; b"" when there is none."""
        pieces: Iterator[bytes] | None = None

        def take() -> bytes:
            nonlocal pieces
            try:
                with self._message.file.reading() as fd:
                    if pieces is None:
                        pieces = decode(fd, self._found, self._sizes, start, end)
                    piece = next((piece for piece in pieces if piece), b"")
                    self._message.check(fd)
            except OSError as error:
                raise SourceUnavailable(f"The message cannot be read on ({error.strerror or error}).") from error
            return piece

        return take
