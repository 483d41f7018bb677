"""Asks Graph for a message's attachments: all of them with what its text says about them, or one by its id."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from satchel.contract.attachments import Attachment
from satchel.mail.graph import decode, inline
from satchel.mail.graph.caches import RecentlyFound
from satchel.mail.graph.errors import TooLarge
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.ids import attachment_path, attachments_path, message_path
from satchel.mail.graph.wire import Page

_MOST_BODY_BYTES = 8 * 1024 * 1024
_MOST_LISTS = 2_000
_LIST_SECONDS = 300.0
_MOST_TEXTS = 5_000
# Of a collection, servers bound this as they like; most messages fit into one page.
_PAGE_SIZE = "100"

A = TypeVar("A")
B = TypeVar("B")


class Attachments:
    """Lists attachments, and remembers for a while what it has listed, and which pictures a text shows."""

    def __init__(self, http: GraphHttp) -> None:
        self._http = http
        self._lists: RecentlyFound[tuple[str, str], Sequence[Attachment]] = RecentlyFound(_MOST_LISTS, _LIST_SECONDS)
        # A received message's text does not change: what was asked of it, and what it said.
        self._texts: RecentlyFound[tuple[str, str], tuple[frozenset[str], inline.Shown]] = RecentlyFound(_MOST_TEXTS)

    async def list(self, mailbox: str, message: str) -> Sequence[Attachment]:
        """All attachments in the message's order, with the sizes that they have in the server's store. Raises
        `GraphRefusal`, `SourceUnavailable`."""
        listed: list[decode.WireAttachment] = []
        params = {"$select": decode.ATTACHMENT_FIELDS, "$top": _PAGE_SIZE}
        path = attachments_path(mailbox, message)
        async for page in self._http.pages(path, mailbox=mailbox, as_=Page[decode.WireAttachment], params=params):
            listed.extend(page.value)
        found = decode.attachments(listed)
        found = inline.with_inline(found, await self._shown(mailbox, message, inline.in_question(found)))
        self._lists.put((mailbox, message), found)
        return found

    def listed(self, mailbox: str, message: str, attachment_id: str) -> Attachment | None:
        """One that was listed lately, by our id; no call is made."""
        known = self._lists.get((mailbox, message)) or ()
        return next((each for each in known if each.id == attachment_id), None)

    def forget(self, mailbox: str, message: str) -> None:
        """What was listed of a message has proved wrong."""
        self._lists.forget((mailbox, message))

    async def one(
        self, mailbox: str, message: str, attachment: str, *, patience_seconds: float | None = None
    ) -> Attachment:
        """One attachment by Graph's id. Whether it is inline is not said, since that takes the message's text. Raises
        `GraphRefusal`, `SourceUnavailable`."""
        found = await self._http.get(
            attachment_path(mailbox, message, attachment),
            mailbox=mailbox,
            as_=decode.WireAttachment,
            params={"$select": decode.ATTACHMENT_FIELDS},
            patience_seconds=patience_seconds,
        )
        return decode.without_flag(decode.attachment(found))

    async def _shown(self, mailbox: str, message: str, asked: frozenset[str]) -> inline.Shown:
        if not asked:
            return inline.Shown(frozenset())
        key = (mailbox, message)
        known = self._texts.get(key)
        if known is not None and asked <= known[0]:
            return known[1]
        try:
            body = await self._http.get(
                message_path(mailbox, message),
                mailbox=mailbox,
                as_=inline.WireBody,
                params={"$select": "body"},
                max_bytes=_MOST_BODY_BYTES,
            )
        except TooLarge:
            shown = inline.Shown(None)
        else:
            shown = inline.shown_by(body, asked)
        self._texts.put(key, (asked, shown))
        return shown


async def both(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Both results, asked for at once. The error of the first that fails; the other is cancelled."""
    tasks = asyncio.create_task(first), asyncio.create_task(second)
    try:
        return await tasks[0], await tasks[1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
