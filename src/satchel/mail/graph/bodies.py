"""The bodies of one attachment, wherever its message is now; the first may be asked for ahead."""

import asyncio
from collections.abc import Mapping

from satchel.mail.graph.body import GraphBody
from satchel.mail.graph.errors import GraphRefusal
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.identity import Identity
from satchel.mail.graph.ids import attachment_path
from satchel.mail.graph.opening import RANGE_NOT_SATISFIABLE, RangeRefused, range_from
from satchel.mail.source import MessageRef, SourceUnavailable

# As the first body is asked for by whoever reads it.
_FROM_THE_START = range_from(0)


class AttachmentBodies:
    """Streams the content of an attachment, given by Graph's id. Close it once the first body is taken or not wanted:
    that is about the body asked for ahead alone, others can still be had."""

    def __init__(self, http: GraphHttp, identity: Identity, ref: MessageRef, attachment: str) -> None:
        self._http = http
        self._identity = identity
        self._ref = ref
        self._attachment = attachment
        self._ahead: asyncio.Task[GraphBody] | None = None

    def ask_ahead(self) -> None:
        """Ask for the first body, without waiting for it, for a place or for a pause."""
        self._ahead = asyncio.create_task(self._stream(_FROM_THE_START, patience_seconds=0.0))

    async def stream(self, path: str, *, mailbox: str | None, headers: Mapping[str, str] | None = None) -> GraphBody:
        """A body of the attachment, where the message is now and not where `path` says that it was. Raises
        `SourceError`."""
        if headers == _FROM_THE_START and self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            try:
                return await ahead
            except SourceUnavailable:
                # It had no patience; this time it may wait.
                pass
            except asyncio.CancelledError:
                await _drop(ahead)
                raise
        return await self._stream(headers)

    async def aclose(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await _drop(ahead)

    async def _stream(self, headers: Mapping[str, str] | None, patience_seconds: float | None = None) -> GraphBody:
        mailbox = self._ref.mailbox

        async def at(message: str) -> GraphBody:
            path = f"{attachment_path(mailbox, message, self._attachment)}/$value"
            try:
                return await self._http.stream(
                    path, mailbox=mailbox, headers=headers, patience_seconds=patience_seconds
                )
            except GraphRefusal as refusal:
                if refusal.status == RANGE_NOT_SATISFIABLE:
                    raise RangeRefused(str(refusal)) from None
                raise

        return await self._identity.at_attachment(self._ref, at)


async def _drop(ahead: asyncio.Task[GraphBody]) -> None:
    ahead.cancel()
    # It is closed also where whoever waits here is cancelled.
    ahead.add_done_callback(_close_unwanted)
    await asyncio.wait({ahead})


def _close_unwanted(ahead: asyncio.Task[GraphBody]) -> None:
    if not ahead.cancelled() and ahead.exception() is None:
        ahead.result().close()
