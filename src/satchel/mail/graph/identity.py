"""Finds the message behind an id: one that has moved, one that has only just come, and one that is from elsewhere."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from satchel.mail.graph import decode
from satchel.mail.graph.caches import RecentlyFound
from satchel.mail.graph.errors import GraphRefusal, is_gone, translated
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.ids import Place, graph_id, is_graph_id, message_path, read_locator, user_path
from satchel.mail.graph.translation import Translations
from satchel.mail.source import AttachmentNotFound, MessageNotFound, MessageRef

# A message that was just announced may be unknown to the server that is asked. Longer patience is the intake's.
_SECOND_LOOK_SECONDS = 0.5
_MOST_KNOWN = 10_000
_MOST_RESOLVED = 10_000
_RESOLVED_SECONDS = 60.0
_MAILBOXES_AT_ONCE = 8
# Ids of Graph are far longer. Nobody is asked for what is shorter.
_SHORTEST_ID = 20
_MOST_COPIES = 10

T = TypeVar("T")


class _Hit(decode.WireMessage, frozen=True, rename="camel"):
    is_draft: Any = None


class _Hits(msgspec.Struct, frozen=True):
    value: list[_Hit]


@dataclass(frozen=True, slots=True)
class _Resolved:
    """What an id has led to, also nowhere."""

    ref: MessageRef | None


# A mailbox and an id of Graph.
_Key = tuple[str, str]


class Identity:
    """What is known of where messages are; a call about one is made through it."""

    def __init__(self, http: GraphHttp, mailboxes: Collection[str]) -> None:
        """`mailboxes` are all that may be asked for."""
        self._http = http
        self._mailboxes = frozenset(mailboxes)
        self._translations = Translations(http)
        # By the id in the locator: the id under which the message answered last.
        self._current: RecentlyFound[_Key, str] = RecentlyFound(_MOST_KNOWN)
        self._resolved: RecentlyFound[_Key, _Resolved] = RecentlyFound(_MOST_RESOLVED, _RESOLVED_SECONDS)

    async def at_place(self, ref: MessageRef, call: Callable[[str], Awaitable[T]]) -> T:
        """What `call` gives for the message's id in Graph.

        A message that answers "not found" is looked for again: at once if it was there before, after a moment if it
        was not yet, and then by its Message-ID. Raises `MessageNotFound` when it is not found so either, and what a
        refusal means otherwise.
        """
        if ref.mailbox not in self._mailboxes:
            raise MessageNotFound("This mailbox is not served.")
        try:
            return await self._at_place(ref, read_locator(ref), call)
        except GraphRefusal as refusal:
            raise translated(refusal) from None

    async def at_attachment(self, ref: MessageRef, call: Callable[[str], Awaitable[T]]) -> T:
        """As `at_place`, for a call about one attachment. Raises `AttachmentNotFound` where the message is there and
        the attachment is not."""

        async def at(message: str) -> T:
            try:
                return await call(message)
            except GraphRefusal as refusal:
                # Graph's codes do not tell which of the two is gone.
                if is_gone(refusal) and await self._is_there(ref.mailbox, message):
                    raise AttachmentNotFound("The message is there, the attachment is not.") from None
                raise

        return await self.at_place(ref, at)

    def current_id(self, ref: MessageRef) -> str:
        """The id under which the message answered last. Raises `MessageNotFound`."""
        place = read_locator(ref)
        return self._current.get((ref.mailbox, place.graph_id)) or place.graph_id

    async def _at_place(self, ref: MessageRef, place: Place, call: Callable[[str], Awaitable[T]]) -> T:
        key = (ref.mailbox, place.graph_id)
        current = self._current.get(key)
        try:
            return await self._noted(key, current or place.graph_id, call)
        except GraphRefusal as refusal:
            if not is_gone(refusal):
                raise
        if current is None:
            await asyncio.sleep(_SECOND_LOOK_SECONDS)
            try:
                return await self._noted(key, place.graph_id, call)
            except GraphRefusal as refusal:
                if not is_gone(refusal):
                    raise
        self._current.forget(key)
        found = await self._by_message_id(ref.mailbox, place)
        if found is None or found == (current or place.graph_id):
            raise MessageNotFound("The message is gone, and its Message-ID leads to no other place.")
        return await self._noted(key, found, call)

    async def _noted(self, key: _Key, at: str, call: Callable[[str], Awaitable[T]]) -> T:
        result = await call(at)
        self._current.put(key, at)
        return result

    async def resolve(self, message_id: str, mailboxes: Collection[str]) -> MessageRef | None:
        """See `MailSource.resolve`. An answer, also that there is none, holds for a minute."""
        wanted = graph_id(message_id)
        if wanted is None or len(wanted) < _SHORTEST_ID:
            return None
        asked = sorted(self._mailboxes.intersection(mailboxes))
        for start in range(0, len(asked), _MAILBOXES_AT_ONCE):
            some = [self._resolve_in(each, wanted) for each in asked[start : start + _MAILBOXES_AT_ONCE]]
            found = await asyncio.gather(*some, return_exceptions=True)
            refs = [each for each in found if isinstance(each, MessageRef)]
            if refs:
                return refs[0]
            for each in found:
                if isinstance(each, BaseException):
                    raise each
        return None

    async def aclose(self) -> None:
        await self._translations.aclose()

    async def _is_there(self, mailbox: str, message: str) -> bool:
        try:
            await self._look_up(mailbox, message)
        except GraphRefusal as refusal:
            if is_gone(refusal):
                return False
            raise
        return True

    async def _resolve_in(self, mailbox: str, wanted: str) -> MessageRef | None:
        key = (mailbox, wanted)
        if (known := self._resolved.get(key)) is not None:
            return known.ref
        try:
            message = await self._translations.immutable(mailbox, wanted) or wanted
            hit = await self._look_up(mailbox, message)
        except GraphRefusal as refusal:
            # A mailbox that may not be read, or is none, has no message for anybody.
            if not is_gone(refusal) and refusal.status not in {400, 403}:
                raise translated(refusal) from None
            self._resolved.put(key, _Resolved(None))
            return None
        ref = decode.place(hit).ref(mailbox) if is_graph_id(hit.id) else None
        self._resolved.put(key, _Resolved(ref))
        return ref

    async def _look_up(self, mailbox: str, message: str) -> _Hit:
        fields = {"$select": "id,internetMessageId,receivedDateTime"}
        return await self._http.get(message_path(mailbox, message), mailbox=mailbox, as_=_Hit, params=fields)

    async def _by_message_id(self, mailbox: str, place: Place) -> str | None:
        if not place.internet_message_id:
            return None
        quoted = place.internet_message_id.replace("'", "''")
        hits = await self._http.get(
            f"{user_path(mailbox)}/messages",
            mailbox=mailbox,
            as_=_Hits,
            params={
                "$filter": f"internetMessageId eq '{quoted}'",
                "$select": "id,receivedDateTime,subject,from,isDraft",
                "$top": str(_MOST_COPIES),
            },
        )
        return the_one(hits.value, place.received_at)


def the_one(hits: Sequence[_Hit], received_at: int | None) -> str | None:
    """The message among those with one Message-ID; None where there is none, or no telling.

    Drafts are never it, nor is what was received at another moment, where that is known: a move keeps it. Copies of one
    message (a rule that copies, a message sent to oneself) are as good as each other, and the newest is taken; but
    anybody can send a message under a Message-ID that was used before, so of such as differ in subject or author none
    is.
    """
    received = [each for each in hits if each.is_draft is not True and is_graph_id(each.id)]
    if received_at is not None:
        received = [each for each in received if decode.place(each).received_at == received_at]
    if not received or any((each.subject, each.from_) != (received[0].subject, received[0].from_) for each in received):
        return None
    return max(received, key=lambda each: _text(each.received_date_time)).id


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
