"""The port to a mail server: what a source of messages gives, and how it fails.

A source knows mailboxes, messages and attachments of one mail server. It keeps no content, and it decides nothing
about who may see what: the gateway's service does that before it asks.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from satchel.contract.attachments import Attachment
from satchel.contract.events import Recipient


class SourceError(Exception):
    """Something that a mail source could not do.

    SourceError
    ├── MessageNotFound       permanent: no such message (any more)
    ├── AttachmentNotFound    permanent: the message is there, the attachment is not (any more)
    ├── NotDownloadable       permanent: an item or a reference, which has no bytes of its own to stream
    ├── BrokenMessage         permanent: the message is beyond what the source's bounds let it read
    └── SourceUnavailable     transient: try again, after `retry_after_seconds` where it is known
        └── NotReady          transient: the mail server is still at work on the message
    """

    transient = False


class MessageNotFound(SourceError):
    """No such message, or it is gone."""


class AttachmentNotFound(SourceError):
    """The message has no such attachment, or it has changed since it was listed."""


class NotDownloadable(SourceError):
    """The attachment is an `itemAttachment` or a `referenceAttachment`: it cannot be streamed."""


class BrokenMessage(SourceError):
    """The message passes a bound on parts, depth or header bytes and is not read any further."""


class SourceUnavailable(SourceError):
    """The mail server (or disk) does not answer just now. Transient."""

    transient = True

    def __init__(
        self, message: str, *, retry_after_seconds: float | None = None, upstream_status: int | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.upstream_status = upstream_status


class NotReady(SourceUnavailable):
    """The message is there, but not all of its files are yet: a scan holds them back. Transient."""


@dataclass(frozen=True, slots=True)
class MessageRef:
    """Where a message is.

    `message_id` is what clients see: opaque, URL-safe, stable. `locator` is the source's own pointer to the message
    (for a folder its unique file name), kept in the gateway's index so that the id need not reveal it.
    """

    mailbox: str
    message_id: str
    locator: str


@dataclass(frozen=True, slots=True)
class MessageSummary:
    """What the index and a webhook say of a message: its envelope, never its attachments' content."""

    ref: MessageRef
    internet_message_id: str
    conversation_id: str
    received: datetime
    sender: Recipient
    from_: Recipient
    to: tuple[Recipient, ...]
    cc: tuple[Recipient, ...]
    subject: str
    has_attachments: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """What a watch has found since the batch before.

    `read_to_end` names the mailboxes whose first full pass has ended with this batch's messages, and `ends_first_pass`
    says that this is so for all that could be read. `rest_is_new`: any mailbox that is not there yet will be new when
    it comes, with all that is in it. `is_baseline`: these messages were there before the source first looked, which the
    source may know better than an index that another source filled before.
    """

    messages: Sequence[MessageRef] = ()
    read_to_end: frozenset[str] = frozenset()
    ends_first_pass: bool = False
    rest_is_new: bool = False
    is_baseline: bool = False


class AttachmentContent(Protocol):
    """An open attachment: what it is, and its bytes on demand. Close it, also after a failure."""

    @property
    def attachment(self) -> Attachment: ...

    @property
    def size(self) -> int | None:
        """The exact number of decoded bytes; None where the source cannot know it beforehand."""
        ...

    @property
    def etag(self) -> str | None:
        """A strong validator without its quotes, stable over restarts; None where there is none."""
        ...

    @property
    def sha256(self) -> str | None:
        """Of all the decoded bytes, in hexadecimal; None while not known: a read from 0 to the end may bring it."""
        ...

    def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The decoded bytes `start` (included) to `stop` (excluded; None: to the end), in pieces of at most 1 MiB.

        May be called more than once. A ranged call costs the range, not the file, where the source can do so.
        Raises `SourceError` when the bytes cannot be had or turn out to be others than when it was opened; never
        ends early as if it were complete.
        """
        ...

    async def aclose(self) -> None: ...


class MailSource(Protocol):
    """One mail server. Every method raises `SourceError`, and says by its class whether to try again."""

    @property
    def lists_exact_sizes(self) -> bool:
        """Whether the sizes in a list are those of the content, to the byte, for every attachment."""
        ...

    def watch(self) -> AsyncIterator[Batch]:
        """Messages that are there, in batches: first all that exist now, then whatever arrives, until cancelled.

        The same message may come twice or more, so callers compare with what they know. After the first full pass a
        message comes within seconds of being found. A caller that asks for the next batch has made the last one
        durable: it will not be given again after a restart if the source remembers how far it has come.
        """
        ...

    async def describe(self, message: MessageRef) -> MessageSummary:
        """The envelope of one message."""
        ...

    def history(self, mailbox: str, *, since: datetime, until: datetime) -> AsyncIterator[Sequence[MessageSummary]]:
        """The envelopes of what a mailbox received from `since` until before `until` and still has, in batches.

        It covers what `watch` covers, tells nothing about what was announced, and changes nothing of it. `received` is
        as `describe` says. Where single messages cannot be read just now, all others come before `SourceUnavailable`
        is raised. A mailbox that the source does not have gives nothing, or `SourceError`.
        """
        ...

    async def list(self, message: MessageRef) -> Sequence[Attachment]:
        """All attachments of a message, in the message's own order, with exact sizes where the source knows them."""
        ...

    async def text(self, message: MessageRef, max_characters: int) -> str | None:
        """What a message says as its body, of a long one the beginning: its plain text, else that of its HTML.

        Lines end in LF. Attachments are no part of it, nor are messages within the message. None without any text.
        """
        ...

    async def open(self, message: MessageRef, attachment_id: str) -> AttachmentContent:
        """Open a `fileAttachment` for streaming; `NotDownloadable` for the two other kinds."""
        ...

    async def resolve(self, message_id: str, mailboxes: Collection[str]) -> MessageRef | None:
        """The message behind an id that nobody has seen in a batch, if it is in one of these mailboxes.

        For ids that a client has from elsewhere. A source whose ids come from batches alone answers None.
        """
        ...

    async def mailboxes(self) -> Sequence[str]:
        """Addresses of the mailboxes that the source has now, lower case, sorted."""
        ...

    async def aclose(self) -> None: ...
