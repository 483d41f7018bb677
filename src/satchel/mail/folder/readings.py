"""What was read of messages lately: structure and exact sizes, so that a list and its downloads scan a message once."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

from satchel.mail.folder.ids import attachment_id
from satchel.mail.folder.message import OpenMessage
from satchel.mail.mime import Bounds, FoundAttachment, MessageStructure, SizeIndex, measure, read_structure

_MAX_MESSAGES = 512
# Two messages of as many parts as the bounds let be, and the small ones of everybody else beside them.
_MAX_BYTES = 64 * 1024 * 1024
_MESSAGE_COST_BYTES = 1024
_ATTACHMENT_COST_BYTES = 1024
_MARK_COST_BYTES = 160

_Key = tuple[int, int, int, int, bytes]


class UnderWay(Exception):
    """Another thread reads this message just now: ask again when `done` is, and hold no thread until then."""

    def __init__(self, done: Future[None]) -> None:
        super().__init__("the message is being read")
        self.done = done


class TakesLong(Exception):
    """There is more to read than the caller wanted to wait for."""


class Reading:
    """One message's structure and sizes, each computed at most once, by whichever thread asks first.

    No thread ever waits here for another. Both methods raise `UnderWay`, and `TakesLong` before more than `max_bytes`
    would have to be read.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: Future[None] | None = None
        self._structure: MessageStructure | None = None
        self._sizes: dict[str, SizeIndex] = {}
        self._marks = 0
        self._by_id: tuple[str, dict[str, FoundAttachment]] | None = None

    def by_id(self, of_message: str, structure: MessageStructure) -> dict[str, FoundAttachment]:
        """The message's attachments by their ids, so that thousands are opened without comparing each with all."""
        known = self._by_id
        if known is None or known[0] != of_message:
            ids = {attachment_id(of_message, found.fingerprint): found for found in structure.attachments}
            known = self._by_id = (of_message, ids)
        return known[1]

    def structure(
        self, message: OpenMessage, fd: int, bounds: Bounds, max_bytes: int | None = None
    ) -> MessageStructure:
        """Raises `MessageTooComplex`, `OSError`."""
        structure = self._structure
        if structure is None:
            with self._turn(message.stop - message.start, max_bytes):
                structure = self._structure or read_structure(fd, message.start, message.stop, bounds)
                self._structure = structure
        return structure

    def size(self, found: FoundAttachment, fd: int, max_bytes: int | None = None) -> SizeIndex:
        """Raises `OSError`."""
        index = self._sizes.get(found.path)
        if index is None:
            with self._turn(found.stop - found.start, max_bytes):
                index = self._sizes.get(found.path)
                if index is None:
                    index = self._sizes[found.path] = measure(fd, found)
                    self._marks += len(index.marks)
        return index

    @contextmanager
    def _turn(self, cost_bytes: int, max_bytes: int | None) -> Iterator[None]:
        done: Future[None] = Future()
        with self._lock:
            if self._under_way is not None:
                raise UnderWay(self._under_way)
            if max_bytes is not None and cost_bytes > max_bytes:
                raise TakesLong
            self._under_way = done
            # From here on it cannot be cancelled, so none who waits for it ends it for the others.
            done.set_running_or_notify_cancel()
        try:
            yield
        finally:
            with self._lock:
                self._under_way = None
            done.set_result(None)

    def cost_bytes(self) -> int:
        """About how much memory it holds."""
        structure = self._structure
        if structure is None:
            return _MESSAGE_COST_BYTES
        attachments = len(structure.attachments) * _ATTACHMENT_COST_BYTES
        return _MESSAGE_COST_BYTES + len(structure.header) + attachments + self._marks * _MARK_COST_BYTES


@dataclass
class Readings:
    """The most recently used readings, bounded by number and memory. A message that changed is another message.

    The last one used is kept however large it is: else each file of a message with thousands would cost a scan of all.
    """

    max_messages: int = _MAX_MESSAGES
    max_bytes: int = _MAX_BYTES
    _kept: OrderedDict[_Key, tuple[Reading, int]] = field(default_factory=OrderedDict)
    _held_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, message: OpenMessage) -> Reading:
        """The reading of a message, shared by all who ask while it is kept."""
        key = _key(message)
        with self._lock:
            reading, cost = self._kept.get(key) or (Reading(), 0)
            self._kept[key] = (reading, cost)
            self._kept.move_to_end(key)
            self._shrink()
            return reading

    def account(self, message: OpenMessage) -> None:
        """Take note of what the message's reading has come to cost, and forget older ones if that is too much."""
        key = _key(message)
        with self._lock:
            if key in self._kept:
                reading, before = self._kept[key]
                now = reading.cost_bytes()
                self._kept[key] = (reading, now)
                self._held_bytes += now - before
                self._shrink()

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    def __len__(self) -> int:
        return len(self._kept)

    def _shrink(self) -> None:
        while len(self._kept) > 1 and (len(self._kept) > self.max_messages or self._held_bytes > self.max_bytes):
            _, (_, cost) = self._kept.popitem(last=False)
            self._held_bytes -= cost


def _key(message: OpenMessage) -> _Key:
    # Not the file's size and time, which in an mbox change with every other message.
    return (message.identity.device, message.identity.inode, message.start, message.stop, message.witness)
