"""`GraphSource`: the mailboxes of Microsoft 365, read through Microsoft Graph."""

import builtins
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import msgspec
import structlog

from satchel.contract.attachments import Attachment
from satchel.mail.graph import decode
from satchel.mail.graph.attachments import Attachments, both
from satchel.mail.graph.bodies import AttachmentBodies
from satchel.mail.graph.content import GraphContent, content_key
from satchel.mail.graph.errors import GraphRefusal, refused_mailbox
from satchel.mail.graph.history import read_history
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.identity import Identity
from satchel.mail.graph.ids import attachment_graph_id, attachment_path, message_path, read_locator
from satchel.mail.graph.opening import BodyOpener
from satchel.mail.graph.options import GraphOptions
from satchel.mail.graph.placeholders import Placeholders
from satchel.mail.graph.streams import ContentStreams
from satchel.mail.graph.text import read_text
from satchel.mail.graph.tokens import TokenSource
from satchel.mail.graph.watch import GraphWatch
from satchel.mail.host import ContentFact, SourceHost
from satchel.mail.source import (
    Batch,
    MessageRef,
    MessageSummary,
    NotDownloadable,
    NotReady,
    SourceError,
    SourceUnavailable,
)

log = structlog.get_logger(__name__)


class GraphSource:
    """A `MailSource`. It asks for the mailboxes of its options and for no others, and never writes to any.

    Immutable ids are used throughout, so that ids outlive moves between folders; a message that has lost its id, as in
    a move to an archive, is found again by its Message-ID.
    """

    def __init__(
        self,
        options: GraphOptions,
        tokens: TokenSource,
        host: SourceHost,
        *,
        http: GraphHttp | None = None,
        streams: ContentStreams | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """The source closes `tokens` and `http`."""
        self._options = options
        self._tokens = tokens
        self._host = host
        self._now = now
        self._http = http or GraphHttp(options.calls, tokens)
        self._identity = Identity(self._http, options.mailboxes)
        self._attachments = Attachments(self._http)
        self._streams = streams or ContentStreams()
        self._watch = GraphWatch(self._http, options, host, now=now)
        self._placeholders = Placeholders(options.arrivals.placeholders, options.arrivals.placeholder_wait_seconds)

    @property
    def lists_exact_sizes(self) -> bool:
        return False

    def watch(self) -> AsyncIterator[Batch]:
        """See `MailSource.watch`. Old messages are described by the page they were on, what arrives in full."""
        return self._watch.batches()

    async def describe(self, message: MessageRef) -> MessageSummary:
        """See `MailSource.describe`. The reference in it has the Message-ID, by which the message is found again.

        It has attachments if any of them is a document: a PDF that is flagged inline counts, a logo does not.
        """
        mailbox = message.mailbox
        known = self._watch.envelope(message)
        if known is not None:
            return known

        async def at(graph_id: str) -> tuple[decode.WireMessage, Sequence[Attachment]]:
            envelope = self._http.get(
                message_path(mailbox, graph_id),
                mailbox=mailbox,
                as_=decode.WireMessage,
                params={"$select": decode.MESSAGE_FIELDS},
            )
            return await both(envelope, self._attachments.list(mailbox, graph_id))

        found, listed = await self._identity.at_place(message, at)
        summary = decode.summary(found, mailbox, has_attachments=any(not each.is_inline for each in listed))
        self._refuse_unready(message, listed, summary.received)
        # It may have answered under another id by now; the one by which it is known stays.
        place = replace(decode.place(found), graph_id=read_locator(message).graph_id)
        return replace(summary, ref=place.ref(mailbox))

    async def history(
        self, mailbox: str, *, since: datetime, until: datetime
    ) -> AsyncIterator[Sequence[MessageSummary]]:
        """See `MailSource.history`; as old messages are: by the pages they are on."""
        if mailbox not in self._options.mailboxes:
            raise SourceError("The settings name no such mailbox.")
        try:
            for folder in self._options.arrivals.folders:
                async for page in read_history(self._http, mailbox, folder, since, until):
                    yield page
        except GraphRefusal as refusal:
            raise refused_mailbox(refusal) from None

    async def list(self, message: MessageRef) -> Sequence[Attachment]:
        """See `MailSource.list`. A size is exact once the content has been read to its end; before, it is that in the
        mail server's store, which is larger."""
        listed = await self._identity.at_place(message, lambda at: self._attachments.list(message.mailbox, at))
        self._refuse_unready(message, listed)
        return await self._with_exact_sizes(listed)

    async def text(self, message: MessageRef, max_characters: int) -> str | None:
        """See `MailSource.text`; HTML is made into text by the mail server, which keeps no other text beside it."""
        return await self._identity.at_place(
            message, lambda at: read_text(self._http, message.mailbox, at, max_characters)
        )

    async def open(self, message: MessageRef, attachment_id: str) -> GraphContent:
        """See `MailSource.open`. After a list it costs one call to Graph."""
        wanted = attachment_graph_id(attachment_id)
        bodies = AttachmentBodies(self._http, self._identity, message, wanted)
        try:
            attachment = await self._attachment(message, attachment_id, wanted, bodies)
            # A placeholder may be of any kind.
            self._refuse_unready(message, [attachment])
            if not attachment.is_file:
                raise NotDownloadable("Only file attachments can be downloaded.")
            key = content_key(attachment)
            graph_id = self._identity.current_id(message)
            path = attachment_path(message.mailbox, graph_id, wanted) + "/$value"
            content = GraphContent(
                BodyOpener(bodies, path, message.mailbox),
                attachment,
                self._host,
                (await self._facts([key])).get(key),
                self._options.content,
                self._streams,
                partial(self._attachments.forget, message.mailbox, graph_id),
            )
            return await content.open()
        finally:
            await bodies.aclose()

    async def resolve(self, message_id: str, mailboxes: Collection[str]) -> MessageRef | None:
        """See `MailSource.resolve`: also mutable ids, and messages from before the watch began."""
        return await self._identity.resolve(message_id, mailboxes)

    async def mailboxes(self) -> Sequence[str]:
        """See `MailSource.mailboxes`: those of the options, whether or not they can be read just now."""
        return sorted(self._options.mailboxes)

    async def aclose(self) -> None:
        await self._identity.aclose()
        await self._http.aclose()
        await self._tokens.aclose()
        self._streams.close()

    async def _attachment(
        self, message: MessageRef, attachment_id: str, wanted: str, bodies: AttachmentBodies
    ) -> Attachment:
        """What is to be opened: from the list of just now, or asked for, together with its body if there is room."""
        mailbox = message.mailbox
        listed = self._attachments.listed(mailbox, self._identity.current_id(message), attachment_id)
        if listed is not None:
            return listed
        bodies.ask_ahead()
        try:
            return await self._identity.at_attachment(
                message, lambda at: self._attachments.one(mailbox, at, wanted, patience_seconds=0.0)
            )
        except SourceUnavailable:
            # With a body in hand it may not wait for a place of the same mailbox; without one it may.
            await bodies.aclose()
        return await self._identity.at_attachment(message, lambda at: self._attachments.one(mailbox, at, wanted))

    def _refuse_unready(
        self, message: MessageRef, listed: Sequence[Attachment], received: datetime | None = None
    ) -> None:
        wait_seconds = self._placeholders.retry_after(listed, self._now(), received)
        if wait_seconds is not None:
            self._attachments.forget(message.mailbox, self._identity.current_id(message))
            raise NotReady("The mail server still scans the message's files.", retry_after_seconds=wait_seconds)

    async def _with_exact_sizes(self, listed: Sequence[Attachment]) -> builtins.list[Attachment]:
        keys = [content_key(each) for each in listed]
        facts = await self._facts(keys)
        return [
            msgspec.structs.replace(each, size=facts[key].size) if key in facts else each
            for key, each in zip(keys, listed, strict=True)
        ]

    async def _facts(self, keys: Collection[str]) -> dict[str, ContentFact]:
        try:
            return await self._host.content_facts(keys) if keys else {}
        except Exception as error:  # noqa: BLE001 - what is remembered is a help, never a need
            log.warning("content_facts_not_read", error=type(error).__name__)
            return {}
