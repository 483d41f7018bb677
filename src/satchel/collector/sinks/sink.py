"""The port to a place where attachments are stored, its values, and how it fails."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import msgspec


class SinkError(Exception):
    """An attachment that could not be stored; nothing of it is visible under its key.

    SinkError
    ├── SinkUnavailable   transient: the disk is full, or the place does not answer; `reason` says which
    ├── BodyMismatch      transient: the body had fewer or more bytes than were announced
    ├── KeyRefused        permanent: the key is not one of ours
    └── KeyTaken          permanent: something that no collector wrote is stored under the key

    `reason` is stable snake_case for the ledger; the message is advice and holds no name.
    """

    transient = False
    reason = "sink_error"
    retry_after_seconds: float | None = None


class SinkUnavailable(SinkError):
    """The place cannot take the bytes just now."""

    transient = True
    reason = "sink_unavailable"

    def __init__(self, message: str, *, reason: str = "sink_unavailable") -> None:
        super().__init__(message)
        self.reason = reason


class BodyMismatch(SinkError):
    """The body did not have the announced number of bytes."""

    transient = True
    reason = "size_mismatch"


class KeyRefused(SinkError):
    """The key could leave the place; keys come from `naming.storage_key`."""

    reason = "key_refused"


class KeyTaken(SinkError):
    """Something lies under the key without its sidecar; it is neither replaced nor taken for ours."""

    reason = "key_taken"


class Provenance(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is kept beside the bytes: where they come from. Names are as the mail had them, and hostile."""

    message_id: str
    attachment_id: str
    mailbox: str
    received: str
    name: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The attachment is durable under `key`. `sha256` is in hexadecimal; `existed`: it was there before this call."""

    key: str
    size: int
    sha256: str
    existed: bool


class Sink(Protocol):
    """A place for attachments. Methods raise SinkError, which says whether to try again."""

    async def put(
        self, key: str, chunks: AsyncIterator[bytes], provenance: Provenance, *, expected_bytes: int | None
    ) -> Receipt:
        """Store the chunks under the key, all or nothing, unless something is stored there already.

        What is there already is left as it is and its receipt given back; of the chunks no more than about a MiB is
        read then. Otherwise it returns when the bytes are durable. `expected_bytes` is what the sender announced,
        None where it did not.
        An error of the chunks passes through; like a cancellation it leaves nothing behind.
        """
        ...

    async def sweep(self) -> int:
        """Remove what interrupted calls left behind; returns how many. Harmless beside running calls."""
        ...

    async def aclose(self) -> None: ...
