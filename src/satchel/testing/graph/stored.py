"""A message in a simulated mailbox: a file on disk, and what is read of it once."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from satchel.contract.attachments import AttachmentType
from satchel.mail.mime import FoundAttachment, SizeIndex, measure, read_structure
from satchel.mail.mime.envelope import Envelope, read_envelope
from satchel.testing.graph.ids import attachment_id
from satchel.testing.graph.texts import read_texts

# What a message of 816 bytes has been seen to be listed with: 1053.
STORE_OVERHEAD_BYTES = 237
PLACEHOLDER_PATH = "placeholder"
PLACEHOLDER_NAME = "ATP Scan In Progress"


@dataclass(frozen=True, slots=True)
class StoredAttachment:
    """An attachment and its exact size. `is_inline` is as Exchange says it: shown by the text, or so marked."""

    found: FoundAttachment
    sizes: SizeIndex
    is_inline: bool

    @property
    def size(self) -> int:
        return self.sizes.total


@dataclass(frozen=True, slots=True)
class Contents:
    """All that is read of a message's file."""

    envelope: Envelope
    attachments: tuple[StoredAttachment, ...]
    text: str
    html: str
    size: int


@dataclass(eq=False)
class StoredMessage:
    """One message. `immutable_id` stays over moves between folders, `mutable_id` does not.

    `salt` tells one set of attachment ids from the next. `sequence` is its place among all arrivals in folders.
    """

    path: Path
    immutable_id: str
    mutable_id: str
    folder: str
    received: datetime
    arrived_at: float
    modified: datetime
    salt: bytes
    sequence: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @cached_property
    def contents(self) -> Contents:
        """Blocks on the disk the first time: ask for it in a thread then. Raises `MessageTooComplex`, `OSError`."""
        with self.opened() as fd:
            size = os.fstat(fd).st_size
            structure = read_structure(fd, 0, size)
            texts = read_texts(fd, size)
            attachments = tuple(
                StoredAttachment(found, measure(fd, found), found.is_inline or found.path in texts.marked_inline)
                for found in structure.attachments
            )
        return Contents(read_envelope(structure.header), attachments, texts.plain, texts.html, size)

    @property
    def is_read_in(self) -> bool:
        """Whether the file has been read, so that asking for `contents` does not block."""
        return "contents" in self.__dict__

    def read_in(self) -> None:
        """Read `contents`, by one thread though several ask at once. Raises as `contents`."""
        with self._lock:
            _ = self.contents

    @contextmanager
    def opened(self) -> Iterator[int]:
        """The file's descriptor. It stays readable when the message is deleted meanwhile."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)

    def id_for(self, *, immutable: bool) -> str:
        return self.immutable_id if immutable else self.mutable_id

    def attachment_id(self, path: str, *, immutable: bool) -> str:
        """The id of the attachment at this path of the tree."""
        return attachment_id(self.id_for(immutable=immutable), path, self.salt)

    @property
    def has_attachments(self) -> bool:
        """As Exchange says it: not for those that are inline."""
        return any(not each.is_inline for each in self.contents.attachments)

    @property
    def sent(self) -> datetime:
        return self.contents.envelope.date or self.received

    @property
    def files(self) -> list[StoredAttachment]:
        return [each for each in self.contents.attachments if each.found.kind is AttachmentType.FILE]


def listed_size(size: int, factor: float) -> int:
    """What the store says of an attachment of so many bytes."""
    return int((size + STORE_OVERHEAD_BYTES) * factor)


def utc(seconds: float) -> datetime:
    """An instant in Graph's precision."""
    return datetime.fromtimestamp(int(seconds), UTC)
