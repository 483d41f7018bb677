"""Brings one attachment from the API into the sink, and goes on after a break where the bytes are proven the same."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

from satchel.client import AsyncClient, AttachmentStream, IncompleteBody, UnexpectedAnswer
from satchel.collector.naming import storage_key
from satchel.collector.records import Wanted
from satchel.collector.sinks.sink import Provenance, Receipt, Sink
from satchel.contract.errors import ApiError

MAX_RESUMES = 5
RANGE_NOT_SATISFIABLE = 416


async def transfer(client: AsyncClient, sink: Sink, wanted: Wanted) -> Receipt:
    """Download and store; the receipt is the sink's. Raises ApiError, ClientError and SinkError."""
    async with client.open_attachment(wanted.message_id, wanted.attachment_id) as stream:
        provenance = Provenance(
            message_id=wanted.message_id,
            attachment_id=wanted.attachment_id,
            mailbox=wanted.mailbox,
            received=wanted.received,
            name=wanted.name,
            content_type=stream.content_type,
        )
        key = storage_key(wanted.message_id, wanted.attachment_id, wanted.name)
        # The listed size is no promise of every server (Graph's is inflated): only the download's own length counts.
        async with aclosing(_resumed(client, wanted, stream)) as chunks:
            return await sink.put(key, chunks, provenance, expected_bytes=stream.size)


async def _resumed(client: AsyncClient, wanted: Wanted, stream: AttachmentStream) -> AsyncGenerator[bytes, None]:
    """The bytes of the stream, and after a break those of a new one from there on, as long as that gets on.

    Only a server that gave a strong validator can say that the rest belongs to the same bytes.
    """
    etag, received = stream.etag, 0
    async with AsyncExitStack() as opened:
        for resumes_left in range(MAX_RESUMES, -1, -1):
            before = received
            try:
                async for piece in stream:
                    received += len(piece)
                    yield piece
            except IncompleteBody as error:
                if etag is None or received == before or not resumes_left:
                    raise
                broken = error
            else:
                return
            try:
                stream = await opened.enter_async_context(
                    client.open_attachment(wanted.message_id, wanted.attachment_id, start=received, etag=etag)
                )
            except UnexpectedAnswer:
                raise broken from None
            except ApiError as error:
                if error.status == RANGE_NOT_SATISFIABLE:
                    raise broken from None
                raise
            if stream.start != received:
                # Another version, sent whole: the next attempt begins anew.
                raise broken
