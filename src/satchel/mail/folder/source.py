"""`FolderSource`: a mail server that is a folder of Maildirs, mbox files and folders of .eml files."""

import asyncio
import builtins
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

from satchel.contract.attachments import Attachment, AttachmentType
from satchel.mail.folder.arrivals import Arrivals, Timing
from satchel.mail.folder.content import FolderContent
from satchel.mail.folder.emlfolder import EmlFolder
from satchel.mail.folder.files import translate
from satchel.mail.folder.history import messages_in
from satchel.mail.folder.ids import (
    Layout,
    attachment_id,
    conversation_id,
    entity_tag,
    message_id,
    read_locator,
)
from satchel.mail.folder.layouts import LayoutReader, entry_address, find_stores
from satchel.mail.folder.maildir import Maildir
from satchel.mail.folder.mbox import Mbox
from satchel.mail.folder.message import OpenMessage
from satchel.mail.folder.notices import Changes, watch_folders
from satchel.mail.folder.readings import Readings, TakesLong, UnderWay
from satchel.mail.folder.sharing import OpenStreams
from satchel.mail.folder.threads import Threads
from satchel.mail.mime import Bounds, FoundAttachment, MessageTooComplex, read_text
from satchel.mail.mime.envelope import Envelope, read_envelope
from satchel.mail.mime.window import pread_all
from satchel.mail.source import (
    AttachmentNotFound,
    Batch,
    BrokenMessage,
    MessageNotFound,
    MessageRef,
    MessageSummary,
    NotDownloadable,
    SourceUnavailable,
)

_THREADS = 8
# More would only compete for the processor, with each other and with the event loop.
_LONG_THREADS = 2
_SHORT_BYTES = 8 * 1024 * 1024
_HEADER_BYTES = 256 * 1024
_HISTORY_BATCH = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Lane:
    """Threads, and how much they may read at once of a message that is not known yet."""

    threads: Threads
    max_bytes: int | None


class FolderSource:
    """A `MailSource`: `<address>/` as a Maildir or a folder of .eml files, or `<address>.mbox`, below one root.

    Nothing is written, no link below the root is followed, and all reading happens in threads of its own: a few for
    whole passes over large messages, so that these keep nobody else waiting, and others for all the rest. A file is
    believed to be complete when its size and time have rested for `settle_seconds` (a Maildir's always is). Besides
    the kernel's notices, everything is looked through every `rescan_seconds`.
    """

    def __init__(
        self,
        root: Path,
        *,
        settle_seconds: float = 0.5,
        rescan_seconds: float = 30.0,
        batch_size: int = 500,
        bounds: Bounds | None = None,
        changes: Changes = watch_folders,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._root = root.absolute()
        self._bounds = bounds or Bounds()
        self._threads = Threads(_THREADS)
        self._short = _Lane(self._threads, _SHORT_BYTES)
        self._long = _Lane(Threads(_LONG_THREADS), None)
        self._readings = Readings()
        self._streams = OpenStreams()
        self._changes = changes
        self._timing = Timing(settle_seconds, rescan_seconds, batch_size, now, time.monotonic)
        self._layouts: dict[Layout, LayoutReader] = {
            Layout.MAILDIR: Maildir(self._root),
            Layout.EML: EmlFolder(self._root),
            Layout.MBOX: Mbox(self._root),
        }

    @property
    def lists_exact_sizes(self) -> bool:
        return True

    async def watch(self) -> AsyncIterator[Batch]:
        """See `MailSource.watch`. Raises `SourceUnavailable` when the root itself cannot be read."""
        arrivals = Arrivals(self._root, self._layouts, self._threads, self._changes, self._timing)
        async with aclosing(arrivals.batches()) as batches:
            async for batch in batches:
                yield batch

    async def describe(self, message: MessageRef) -> MessageSummary:
        """See `MailSource.describe`.

        `received` is the date of the topmost `Received:` field, which the mailbox's own server wrote; without one, the
        file's time, or in an mbox, whose time is not the message's, the `Date:`. A message beyond the bounds is
        described by its header and said to have attachments, so that somebody looks at it.
        """
        return await self._read(message, self._describe)

    async def history(
        self, mailbox: str, *, since: datetime, until: datetime
    ) -> AsyncIterator[Sequence[MessageSummary]]:
        """See `MailSource.history`. Every message is read, since nothing but itself says when it was received."""
        found, unreadable = messages_in(self._root, self._layouts, mailbox, self._timing.has_rested), 0
        while refs := await self._threads.submit(lambda: list(islice(found, _HISTORY_BATCH))):
            described = await asyncio.gather(*map(self._described, refs))
            unreadable += sum(isinstance(each, SourceUnavailable) for each in described)
            yield [each for each in described if isinstance(each, MessageSummary) and since <= each.received < until]
        if unreadable:
            raise SourceUnavailable(f"{unreadable} messages of the mailbox could not be read.")

    async def list(self, message: MessageRef) -> Sequence[Attachment]:
        """See `MailSource.list`; sizes are exact, found by counting."""
        return await self._read(message, self._list)

    async def text(self, message: MessageRef, max_characters: int) -> str | None:
        """See `MailSource.text`. Text that stands behind many MB of attachments is left out."""

        def read(_: MessageRef, opened: OpenMessage, fd: int, __: _Lane) -> str | None:
            return read_text(fd, opened.start, opened.stop, max_characters, self._bounds)

        return await self._read(message, read)

    async def open(self, message: MessageRef, attachment_id: str) -> FolderContent:
        """See `MailSource.open`."""
        return await self._in_turn(
            lambda lane: lane.threads.run_opening(lambda: self._open_content(message, attachment_id, lane))
        )

    async def resolve(self, message_id: str, mailboxes: Collection[str]) -> MessageRef | None:
        """See `MailSource.resolve`: a folder's ids say nothing to anybody who has not read the folder."""
        return None

    async def mailboxes(self) -> Sequence[str]:
        """See `MailSource.mailboxes`. Raises `SourceUnavailable`."""
        stores = await self._threads.submit(lambda: find_stores(self._root))
        return sorted({store.mailbox for store in stores})

    async def aclose(self) -> None:
        for lane in (self._short, self._long):
            lane.threads.close()

    async def _described(self, ref: MessageRef) -> MessageSummary | SourceUnavailable | None:
        """Why a message has no envelope just now, or None where it is gone."""
        try:
            return await self.describe(ref)
        except SourceUnavailable as error:
            return error
        except MessageNotFound:
            return None

    async def _read(self, ref: MessageRef, read: Callable[[MessageRef, OpenMessage, int, _Lane], T]) -> T:
        return await self._in_turn(lambda lane: lane.threads.submit(lambda: self._with_message(ref, lane, read)))

    async def _in_turn(self, attempt: Callable[[_Lane], Awaitable[T]]) -> T:
        """The result of an attempt, made again in the lane for long ones if it takes long, and whenever another call
        was reading the same message: that one's result is then there to be used."""
        lane = self._short
        while True:
            try:
                return await attempt(lane)
            except TakesLong:
                lane = self._long
            except UnderWay as other:
                await asyncio.wrap_future(other.done)

    def _open_message(self, ref: MessageRef) -> OpenMessage:
        place = read_locator(ref.locator)
        if entry_address(place.layout, place.entry) != ref.mailbox or message_id(ref.mailbox, place) != ref.message_id:
            raise MessageNotFound("The message's locator belongs to another message.")
        return self._layouts[place.layout].open(place)

    def _with_message(
        self, ref: MessageRef, lane: _Lane, read: Callable[[MessageRef, OpenMessage, int, _Lane], T]
    ) -> T:
        try:
            opened = self._open_message(ref)
            try:
                with opened.file.reading() as fd:
                    result = read(ref, opened, fd, lane)
                    opened.check(fd)
                return result
            finally:
                opened.close()
        except OSError as error:
            raise translate(error) from error
        except MessageTooComplex as error:
            raise BrokenMessage(f"The message is not read: {error}.") from error

    def _describe(self, ref: MessageRef, opened: OpenMessage, fd: int, lane: _Lane) -> MessageSummary:
        try:
            structure = self._readings.of(opened).structure(opened, fd, self._bounds, lane.max_bytes)
            header = structure.header
            has_attachments = any(not _is_picture_in_text(found) for found in structure.attachments)
            self._readings.account(opened)
        except MessageTooComplex:
            header = pread_all(fd, min(_HEADER_BYTES, opened.stop - opened.start), opened.start)
            has_attachments = True
        envelope = read_envelope(header)
        return MessageSummary(
            ref=ref,
            internet_message_id=envelope.message_id,
            conversation_id=conversation_id(ref.mailbox, envelope.conversation_root or ref.message_id),
            received=_received(envelope, opened),
            sender=envelope.sender,
            from_=envelope.from_,
            to=envelope.to,
            cc=envelope.cc,
            subject=envelope.subject,
            has_attachments=has_attachments,
        )

    def _list(self, ref: MessageRef, opened: OpenMessage, fd: int, lane: _Lane) -> builtins.list[Attachment]:
        reading = self._readings.of(opened)
        structure = reading.structure(opened, fd, self._bounds, lane.max_bytes)
        modified = _modified(structure.header, opened)
        sizes = [reading.size(found, fd, lane.max_bytes).total for found in structure.attachments]
        listed = [_attachment(ref, *each, modified) for each in zip(structure.attachments, sizes, strict=True)]
        self._readings.account(opened)
        return listed

    def _open_content(self, ref: MessageRef, wanted: str, lane: _Lane) -> FolderContent:
        try:
            opened = self._open_message(ref)
            try:
                with opened.file.reading() as fd:
                    content = self._content(ref, opened, wanted, fd, lane)
                    opened.check(fd)
                self._readings.account(opened)
            except BaseException:
                opened.close()
                raise
        except OSError as error:
            raise translate(error) from error
        except MessageTooComplex as error:
            raise BrokenMessage(f"The message is not read: {error}.") from error
        return content

    def _content(self, ref: MessageRef, opened: OpenMessage, wanted: str, fd: int, lane: _Lane) -> FolderContent:
        reading = self._readings.of(opened)
        structure = reading.structure(opened, fd, self._bounds, lane.max_bytes)
        found = reading.by_id(ref.message_id, structure).get(wanted)
        if found is None:
            raise AttachmentNotFound("The message has no such attachment, or it changed: list its attachments again.")
        if found.kind is not AttachmentType.FILE:
            raise NotDownloadable("Only file attachments can be downloaded.")
        sizes = reading.size(found, fd, lane.max_bytes)
        attachment = _attachment(ref, found, sizes.total, _modified(structure.header, opened))
        etag = entity_tag(found.fingerprint, b"%d %d" % (found.stop - found.start, sizes.total), opened.witness)
        return FolderContent(opened, found, sizes, attachment, etag, self._threads, self._streams)


def _attachment(ref: MessageRef, found: FoundAttachment, size: int, modified: datetime) -> Attachment:
    return Attachment(
        id=attachment_id(ref.message_id, found.fingerprint),
        name=found.name,
        content_type=found.content_type,
        size=size,
        attachment_type=found.kind.value,
        is_inline=found.is_inline,
        content_id=found.content_id,
        last_modified=modified,
    )


def _is_picture_in_text(found: FoundAttachment) -> bool:
    return found.is_inline and found.content_type.startswith("image/")


def _modified(header: bytes, opened: OpenMessage) -> datetime:
    """A message file's own time; in an mbox, whose time changes with every message, the time of receipt."""
    return _received(read_envelope(header), opened) if opened.is_shared else opened.modified


def _received(envelope: Envelope, opened: OpenMessage) -> datetime:
    if envelope.received is not None:
        return envelope.received
    if opened.is_shared and envelope.date is not None:
        return envelope.date
    return opened.modified
