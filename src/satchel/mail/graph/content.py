"""An open attachment of Microsoft 365: its exact length where it can be known, and its bytes whole or an error."""

import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Self

import msgspec
import structlog

from satchel.contract.attachments import Attachment
from satchel.mail.graph.digests import RunningDigest
from satchel.mail.graph.healing import ContentChanged, Course
from satchel.mail.graph.opening import BodyOpener, OpenedBody
from satchel.mail.graph.options import ContentOptions
from satchel.mail.graph.reading import Transcript, read_whole
from satchel.mail.graph.streams import ContentStreams
from satchel.mail.host import ContentFact, SourceHost
from satchel.mail.source import SourceUnavailable

log = structlog.get_logger(__name__)


def content_key(attachment: Attachment) -> str:
    """By what an attachment's content is remembered, which is its entity tag too: another one when the server changes
    the attachment. `size` has to be the server's own, as it stands in Graph's list."""
    modified = attachment.last_modified.isoformat() if attachment.last_modified is not None else ""
    return hashlib.sha256(f"{attachment.id}\n{modified}\n{attachment.size}".encode()).hexdigest()[:32]


class GraphContent:
    """An `AttachmentContent`, after `open`.

    `attachment` is as Graph lists it, with the size in the server's store.
    `fact` is what the host remembers under `content_key`; a complete read adds it, one that contradicts it takes it
    away. `on_change` is called where other bytes come than were given or known before: the list may be old.
    """

    def __init__(
        self,
        opener: BodyOpener,
        attachment: Attachment,
        host: SourceHost,
        fact: ContentFact | None,
        options: ContentOptions,
        streams: ContentStreams,
        on_change: Callable[[], None],
    ) -> None:
        self._opener = opener
        self._listed = attachment
        self._key = content_key(attachment)
        self._host = host
        self._fact = fact
        self._options = options
        self._streams = streams
        self._on_change = on_change
        self._size = fact.size if fact is not None else None
        self._sha256 = fact.sha256 if fact is not None else None
        self._first: OpenedBody | None = None
        self._begun: AsyncGenerator[bytes] | None = None
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._is_held_whole = False
        self._is_closed = False

    async def open(self) -> Self:
        """Learn the size, if it is not remembered: from the server's first answer, or from a body that is small enough
        to be held. Raises SourceError, and is closed then."""
        if self._fact is not None:
            return self
        try:
            self._first = await self._opener.open(0)
            self._size = self._first.size
            # The size in the store is larger than the file, by little: reading a large one ahead would only take time.
            if self._size is None and self._listed.size <= 2 * self._options.buffer_bytes:
                await self._read_ahead()
        except BaseException:
            await self.aclose()
            raise
        return self

    @property
    def attachment(self) -> Attachment:
        return self._listed if self._size is None else msgspec.structs.replace(self._listed, size=self._size)

    @property
    def size(self) -> int | None:
        return self._size

    @property
    def etag(self) -> str | None:
        return self._key

    @property
    def sha256(self) -> str | None:
        return self._sha256

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes]:
        if self._is_closed:
            raise SourceUnavailable("The attachment has been closed.")
        if (stop is not None and stop <= start) or (self._size is not None and start and start >= self._size):
            return
        if self._is_held_whole:
            for piece in _between(self._held, start, stop):
                yield piece
            return
        if self._begun is not None and not start and stop is None:
            rest, self._begun = self._begun, None
            while self._held:
                yield self._held.popleft()
            self._let_go()
        else:
            rest = self._read(start, stop)
        async with aclosing(rest):
            async for piece in rest:
                yield piece

    async def aclose(self) -> None:
        self._is_closed = True
        begun, self._begun = self._begun, None
        if begun is not None:
            await begun.aclose()
        await self._drop_first()
        self._held.clear()
        self._let_go()

    async def _read_ahead(self) -> None:
        """As much as may be held; all of it, if the body has no more."""
        self._begun = self._read(0, None)
        async for piece in self._begun:
            self._held.append(piece)
            if self._held_bytes + len(piece) > self._options.buffer_bytes or not self._streams.hold(len(piece)):
                return
            self._held_bytes += len(piece)
        self._begun = None
        self._is_held_whole = True
        self._size = self._held_bytes

    async def _read(self, start: int, stop: int | None) -> AsyncGenerator[bytes]:
        if start:
            await self._drop_first()
        first, self._first = self._first, None
        course = Course(
            size=self._size,
            heal_attempts=self._options.heal_attempts,
            confirms=self._options.confirm_ends,
            store_bytes=self._listed.size,
        )
        try:
            digest = RunningDigest(self._streams.digests)
            transcript = Transcript(start, start, digest)
            pieces = read_whole(self._opener, course, transcript, self._streams, stop=stop, first=first)
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
            if not start and (stop is None or stop == course.size):
                await self._note(ContentFact(transcript.end, await digest.hexadecimal()))
        except ContentChanged:
            self._on_change()
            if self._fact is not None:
                await self._remember(None)
            raise

    async def _note(self, found: ContentFact) -> None:
        """All bytes have been read. Raises ContentChanged when they are others than were remembered."""
        if self._fact is None:
            self._sha256 = found.sha256
            await self._remember(found)
        elif self._fact != found:
            raise ContentChanged("The mail server gives other bytes than in an earlier read.")

    async def _remember(self, fact: ContentFact | None) -> None:
        try:
            await self._host.remember_content(self._key, fact)
        except Exception as error:  # noqa: BLE001 - the bytes are right or wrong whether or not that is remembered
            log.warning("content_not_remembered", error=type(error).__name__)
        else:
            self._fact = fact

    async def _drop_first(self) -> None:
        first, self._first = self._first, None
        if first is not None:
            await first.body.aclose()

    def _let_go(self) -> None:
        self._streams.let_go(self._held_bytes)
        self._held_bytes = 0


def _between(pieces: Iterable[bytes], start: int, stop: int | None) -> Iterator[bytes]:
    """The bytes `start` to `stop` of pieces that follow each other."""
    position = 0
    for piece in pieces:
        end = len(piece) if stop is None else min(len(piece), stop - position)
        cut = piece[max(0, start - position) : max(0, end)]
        position += len(piece)
        if cut:
            yield cut
