"""Attachments of messages that the caller may see; here a mail source's errors become the API's, and nowhere else."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from satchel.contract.attachments import Attachment
from satchel.contract.errors import ApiError, Forbidden, NotFound, Reason, UpstreamTrouble, error_class
from satchel.gateway.admission import NOT_FOUND, AccountMessage
from satchel.mail.source import (
    AttachmentContent,
    AttachmentNotFound,
    BrokenMessage,
    MailSource,
    MessageNotFound,
    MessageRef,
    NotDownloadable,
    NotReady,
    SourceError,
    SourceUnavailable,
)

_DEFAULT_RETRY_AFTER_SECONDS = 10.0
_NOT_READY_SECONDS = 60.0
# Statuses of the mail server that the contract lets pass (section 4), beside 5xx; any other becomes 503.
_FORWARDED = frozenset({401, 403, 429})


class AttachmentService:
    """Lists and opens attachments, each at the source of its account. Whether the caller may is decided before."""

    def __init__(self, sources: Mapping[str, MailSource]) -> None:
        """`sources` by account id: one for each account that is served."""
        self._sources = sources

    async def list(self, message: AccountMessage) -> Sequence[Attachment]:
        """All attachments of a message. Raises ApiError."""
        try:
            return await self._sources[message.account_id].list(message.ref)
        except SourceError as error:
            raise api_error(error) from error

    async def resolve(self, account_id: str, message_id: str, mailboxes: Collection[str]) -> MessageRef | None:
        """A message that the index does not know, looked for in these mailboxes alone. Raises ApiError."""
        try:
            return await self._sources[account_id].resolve(message_id, mailboxes)
        except SourceError as error:
            raise api_error(error) from error

    def lists_exact_sizes(self, message: AccountMessage) -> bool:
        """Whether the sizes in the message's list are those of the content."""
        return self._sources[message.account_id].lists_exact_sizes

    async def open(self, message: AccountMessage, attachment_id: str) -> AttachmentContent:
        """A `fileAttachment`, open; the caller closes it. Raises ApiError."""
        try:
            return await self._sources[message.account_id].open(message.ref, attachment_id)
        except SourceError as error:
            raise api_error(error) from error


async def next_chunk(chunks: AsyncIterator[bytes]) -> bytes | None:
    """The next piece of a body, None at its end, while a failure can still be answered as one. Raises ApiError."""
    try:
        async for chunk in chunks:
            return chunk
    except SourceError as error:
        raise api_error(error) from error
    return None


def api_error(error: SourceError) -> ApiError:
    """What the API answers for a failure of the mail source."""
    if isinstance(error, (MessageNotFound, AttachmentNotFound)):
        return NotFound(NOT_FOUND)
    if isinstance(error, NotDownloadable):
        return Forbidden(
            "Only a fileAttachment can be downloaded; this is an itemAttachment or a referenceAttachment.",
            reason=Reason.ATTACHMENT_TYPE_NOT_DOWNLOADABLE,
        )
    if isinstance(error, BrokenMessage):
        return UpstreamTrouble(
            "The message cannot be read: it has too many parts, is nested too deeply or has headers too large.",
            status=502,
            reason=Reason.MESSAGE_UNREADABLE,
        )
    if isinstance(error, NotReady):
        return UpstreamTrouble(
            "The mail server is still scanning this message's attachments. Try again later.",
            status=503,
            reason=Reason.NOT_READY,
            retry_after_seconds=error.retry_after_seconds or _NOT_READY_SECONDS,
        )
    if isinstance(error, SourceUnavailable):
        return _unavailable(error)
    return UpstreamTrouble("The mail server gave an answer that cannot be used.", status=502)


def _unavailable(error: SourceUnavailable) -> ApiError:
    status = error.upstream_status
    if status is None or not (status in _FORWARDED or 500 <= status <= 599):
        status = 503
    wait_seconds = error.retry_after_seconds
    if wait_seconds is None and status in {429, 503}:
        wait_seconds = _DEFAULT_RETRY_AFTER_SECONDS
    if status == 429:
        reason, text = Reason.UPSTREAM_THROTTLED, "The mail server is limiting requests. Try again later."
    else:
        reason, text = Reason.UPSTREAM_UNAVAILABLE, "The mail server does not answer as it should. Try again later."
    return error_class(status)(text, status=status, reason=reason, retry_after_seconds=wait_seconds)
