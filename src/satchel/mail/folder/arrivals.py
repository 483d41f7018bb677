"""What is in the mail folder and what arrives in it: a first pass, then the kernel's notices and a regular look."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import structlog

from satchel.mail.folder.files import folder_identity
from satchel.mail.folder.ids import Layout, message_id
from satchel.mail.folder.layouts import LayoutReader, Sighting, Store, entry_address, find_stores
from satchel.mail.folder.notices import Changes, Notices
from satchel.mail.folder.seen import Seen
from satchel.mail.folder.settling import Settling, rests
from satchel.mail.folder.threads import Threads
from satchel.mail.source import Batch, MessageRef

log = structlog.get_logger(__name__)

# A folder whose newest change is younger than this may change again within the same tick of its clock.
_TICK_NS = 2_000_000_000
_RETRY_SECONDS = 1.0
# A file that never rests is not looked at without a pause.
_LEAST_SETTLE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient and how thorough to be, and by which clocks.

    `now` is compared with the times of files, in seconds since 1970; `steady` only ever with itself.
    """

    settle_seconds: float
    rescan_seconds: float
    batch_size: int
    now: Callable[[], float]
    steady: Callable[[], float]

    def has_rested(self, sighting: Sighting) -> bool:
        """Whether a file has not changed for as long as it takes to be complete."""
        return self.now() - sighting.mtime_ns / 1e9 >= self.settle_seconds


@dataclass
class _Known:
    """A store, and what has been told of it."""

    store: Store
    seen: Seen = field(default_factory=Seen)
    state: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class _Survey:
    stores: list[Store]
    folders: list[Path]
    identities: list[tuple[int, int]]


class Arrivals:
    """One run of `MailSource.watch`. What it remembers of a message is ten bytes."""

    def __init__(
        self,
        root: Path,
        layouts: Mapping[Layout, LayoutReader],
        threads: Threads,
        changes: Changes,
        timing: Timing,
    ) -> None:
        self._root = root
        self._layouts = layouts
        self._threads = threads
        self._timing = timing
        self._notices = Notices(changes)
        self._settling = Settling(max(timing.settle_seconds, _LEAST_SETTLE_SECONDS))
        self._known: dict[bytes, _Known] = {}

    async def batches(self) -> AsyncGenerator[Batch]:
        """As `MailSource.watch`. Raises `SourceUnavailable` when the root cannot be read."""
        clock = self._timing.steady
        try:
            async for messages in self._look_through():
                yield Batch(messages)
            mailboxes = frozenset(known.store.mailbox for known in self._known.values())
            yield Batch(read_to_end=mailboxes, ends_first_pass=True, rest_is_new=True)
            look_at = clock() + self._timing.rescan_seconds
            while True:
                await self._notices.wait(self._patience_seconds(look_at))
                paths, lost = self._notices.take()
                if self._notices.failed:
                    look_at = min(look_at, clock() + _RETRY_SECONDS)
                if lost or clock() >= look_at or any(self._is_structural(path) for path in paths):
                    async for messages in self._look_through():
                        yield Batch(messages)
                    look_at = clock() + self._timing.rescan_seconds
                async for messages in self._in_batches(self._changed(paths)):
                    yield Batch(messages)
                async for messages in self._in_batches(self._settled()):
                    yield Batch(messages)
        finally:
            await self._notices.aclose()

    def _patience_seconds(self, look_at: float) -> float:
        due = self._settling.next_due()
        return min(look_at, look_at if due is None else due) - self._timing.steady()

    async def _look_through(self) -> AsyncIterator[Sequence[MessageRef]]:
        """Every store that is new or has changed since the last look."""
        survey = await self._threads.submit(self._survey)
        await self._notices.watch(survey.folders, survey.identities)
        before, self._known = self._known, {}
        for store in survey.stores:
            known = before.get(store.entry)
            self._known[store.entry] = known if known is not None and known.store == store else _Known(store)
        for known in list(self._known.values()):
            async for batch in self._in_batches(self._everything(known)):
                yield batch

    def _survey(self) -> _Survey:
        stores = find_stores(self._root)
        folders = [self._root]
        for store in stores:
            watched = self._layouts[store.layout].watched_folders(store.entry)
            folders.extend(self._root / os.fsdecode(relative) for relative in watched)
        there = [(folder, found) for folder in folders if (found := folder_identity(folder)) is not None]
        return _Survey(stores, [folder for folder, _ in there], [found for _, found in there])

    async def _in_batches(self, found: Iterator[MessageRef]) -> AsyncIterator[Sequence[MessageRef]]:
        """The iterator, advanced in a thread."""
        while batch := await self._threads.submit(lambda: list(islice(found, self._timing.batch_size))):
            yield batch

    def _everything(self, known: _Known) -> Iterator[MessageRef]:
        """The messages of a store that were not told of yet; nothing when it has not changed."""
        layout = self._layouts[known.store.layout]
        fresh = Seen()
        try:
            state = layout.state(known.store.entry)
            if state == known.state:
                return
            for sighting in layout.sightings(known.store.entry):
                yield from self._told(known, sighting, rested=self._timing.has_rested(sighting))
                if sighting.place.key in known.seen:
                    fresh.add(sighting.place.key)
        except OSError as error:
            _warn(error)
            known.state = None
            return
        # Names that are gone are forgotten with the old set.
        known.seen = fresh
        is_quiet = self._timing.now() * 1e9 - state[0] > _TICK_NS
        known.state = state if is_quiet else None

    def _changed(self, paths: Iterable[str]) -> Iterator[MessageRef]:
        """The messages that notices of changed paths brought."""
        for path in paths:
            parts = self._parts(path)
            known = self._known.get(parts[0]) if parts else None
            if known is None:
                continue
            try:
                for sighting in self._layouts[known.store.layout].changed(known.store.entry, parts[1:]):
                    yield from self._told(known, sighting, rested=False)
            except OSError as error:
                _warn(error)

    def _settled(self) -> Iterator[MessageRef]:
        """The messages that have come to rest."""
        for before in self._settling.due(self._timing.steady()):
            known = self._known.get(before.place.entry)
            self._settling.drop(before.place)
            if known is None:
                continue
            try:
                after = self._layouts[known.store.layout].look(before.place)
            except OSError as error:
                _warn(error)
                self._settling.observe(before, self._timing.steady())
                continue
            if after is not None:
                yield from self._told(known, after, rested=rests(before, after))

    def _told(self, known: _Known, sighting: Sighting, *, rested: bool) -> Iterator[MessageRef]:
        """The message, if it is complete and was not told of before; an incomplete one is left to settle."""
        place = sighting.place
        if place.key in known.seen:
            return
        if not (sighting.complete or rested):
            self._settling.observe(sighting, self._timing.steady())
            return
        self._settling.drop(place)
        known.seen.add(place.key)
        mailbox = known.store.mailbox
        yield MessageRef(mailbox, message_id(mailbox, place), place.locator())

    def _is_structural(self, path: str) -> bool:
        """Whether a changed path may mean that a mailbox came, or became another kind of mailbox."""
        parts = self._parts(path)
        if not parts:
            return True
        known = self._known.get(parts[0])
        if len(parts) == 1:
            is_named = entry_address(Layout.MBOX, parts[0]) or entry_address(Layout.MAILDIR, parts[0])
            return is_named is not None and (known is None or known.store.layout is not Layout.MBOX)
        return len(parts) == 2 and parts[1] in (b"new", b"cur")

    def _parts(self, path: str) -> list[bytes]:
        """The components of a path below the root; none for one that is not below it."""
        below = path.removeprefix(f"{self._root}{os.sep}")
        return [] if below == path else os.fsencode(below).split(os.fsencode(os.sep))


def _warn(error: OSError) -> None:
    log.warning("mail_folder.mailbox_unreadable", error=type(error).__name__, errno=error.errno)
