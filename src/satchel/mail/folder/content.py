"""An open attachment of a mail folder: decodes in threads, at most a MiB or so ahead of its reader, less with many."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

from satchel.contract.attachments import Attachment
from satchel.mail.folder.message import OpenMessage
from satchel.mail.folder.sharing import OpenStreams
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
        streams: OpenStreams,
    ) -> None:
        self._message = message
        self._found = found
        self._sizes = sizes
        self._attachment = attachment
        self._etag = etag
        self._threads = threads
        self._streams = streams

    @property
    def attachment(self) -> Attachment:
        return self._attachment

    @property
    def size(self) -> int | None:
        return self._sizes.total

    @property
    def etag(self) -> str | None:
        return self._etag

    @property
    def sha256(self) -> str | None:
        return None

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        end = self._sizes.total if stop is None else min(stop, self._sizes.total)
        left = end - start
        if left <= 0:
            return
        take, share = self._taker(start, end), self._streams.begin()
        ahead: asyncio.Future[list[bytes]] | None = None
        granted = 0
        try:
            while left:
                if ahead is None:
                    granted = share.grant()
                    ahead = self._threads.submit(partial(take, granted))
                pieces = await ahead
                ahead = None
                taken = sum(map(len, pieces))
                share.took(granted, taken)
                left -= taken
                if left < 0 or not pieces:
                    raise SourceUnavailable("The attachment turned out to have another length than when it was opened.")
                if left and share.may_read_ahead:
                    granted = share.grant()
                    ahead = self._threads.submit(partial(take, granted))
                # From the end, so that nothing is held here that has been given away.
                pieces.reverse()
                while pieces:
                    share.give(len(pieces[-1]))
                    yield pieces.pop()
        finally:
            share.close()
            if ahead is not None:
                drop(ahead)

    async def aclose(self) -> None:
        """Closes the file, or leaves that to the thread that reads from it just now."""
        self._message.close()

    def close(self) -> None:
        self._message.close()

    def _taker(self, start: int, end: int) -> Callable[[int], list[bytes]]:
        """A function that returns the next pieces, of about so many bytes together, and has checked them against a
        change; none at the end.

        The first time it is one piece, for a reader that waits; then as many as are granted, because each hand-over to
        a thread costs about as much as decoding half a piece.
        """
        decoded: Iterator[bytes] | None = None
        window_bytes = 0

        def take(granted_bytes: int) -> list[bytes]:
            nonlocal decoded, window_bytes
            window_bytes = granted_bytes
            try:
                with self._message.file.reading() as fd:
                    if decoded is None:
                        decoded = decode(fd, self._found, self._sizes, start, end, lambda: window_bytes)
                        granted_bytes = 1
                    pieces = _up_to(decoded, granted_bytes)
                    self._message.check(fd)
            except OSError as error:
                raise SourceUnavailable(f"The message cannot be read on ({error.strerror or error}).") from error
            return pieces

        return take


def _up_to(decoded: Iterator[bytes], wanted_bytes: int) -> list[bytes]:
    """One piece, and further ones as long as another of the same length is wanted too."""
    pieces: list[bytes] = []
    last_bytes = 0
    while wanted_bytes > 0 and wanted_bytes >= last_bytes and (piece := next(decoded, None)) is not None:
        pieces.append(piece)
        last_bytes = len(piece)
        wanted_bytes -= last_bytes
    return [piece for piece in pieces if piece]
