"""What has come into one folder since the last time: Graph's delta query, page by page, from where it was left.

Source: Graph, "message: delta" and "Use delta query to track changes".
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote

import msgspec

from satchel.mail.graph import decode
from satchel.mail.graph.errors import GraphRefusal, unusable
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.ids import user_path
from satchel.mail.graph.listed import LISTED_FIELDS, ListedMessage, summaries
from satchel.mail.graph.wire import Page
from satchel.mail.source import MessageRef, MessageSummary

_PAGE_SIZE = "odata.maxpagesize=50"
_FORGOTTEN = 410
_FORGOTTEN_CODES = frozenset({"SyncStateNotFound", "SyncStateInvalid", "resyncRequired", "ResyncRequired"})
# Messages do not come in the order of their receipt, and clocks differ.
_OVERLAP = timedelta(hours=1)


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a walk through a folder stands.

    `link` is Graph's own word for it, and `is_round` says that it begins a new round of changes and not the next page
    of a round under way. In a round that begins with `since`, what was received before is old, and is passed over.
    `read_at` is when the last whole round began.
    """

    link: str | None = None
    is_round: bool = False
    since: datetime | None = None
    began_at: datetime | None = None
    read_at: datetime | None = None

    def text(self) -> str:
        return msgspec.json.encode(self).decode()


def read_cursor(text: str | None) -> Cursor | None:
    """None where there is none, or none that can be read: then the walk begins anew."""
    try:
        return None if text is None else msgspec.json.decode(text, type=Cursor)
    except msgspec.DecodeError:
        return None


@dataclass(frozen=True, slots=True)
class Step:
    """The messages of one page, and the cursor to keep once they are taken. Those of the baseline were there before
    anybody watched, and have their `envelopes` with them, so that nobody need ask for each."""

    messages: list[MessageRef]
    cursor: Cursor
    envelopes: Mapping[str, MessageSummary] = field(default_factory=dict)
    is_baseline: bool = False


async def read_folder(
    http: GraphHttp, mailbox: str, folder: str, cursor: Cursor | None, *, is_known: bool, now: Callable[[], datetime]
) -> AsyncIterator[Step]:
    """One round: everything that the folder has, or what has come since the cursor.

    Of a folder that is new in a mailbox which `is_known`, only what comes from now on. Where Graph has forgotten the
    cursor the round begins anew, from an hour before the last one that was read to its end. Raises GraphRefusal and
    SourceUnavailable.
    """
    if cursor is None:
        cursor = Cursor(since=now() if is_known else None)
    if cursor.link is None or cursor.is_round:
        cursor = msgspec.structs.replace(cursor, began_at=now())
    try:
        async for step in _round(http, mailbox, folder, cursor):
            cursor = step.cursor
            yield step
    except GraphRefusal as refusal:
        if cursor.link is None or not _is_forgotten(refusal):
            raise
    else:
        return
    since = cursor.since if cursor.read_at is None else cursor.read_at - _OVERLAP
    async for step in _round(http, mailbox, folder, Cursor(since=since, began_at=now(), read_at=cursor.read_at)):
        yield step


async def _round(http: GraphHttp, mailbox: str, folder: str, cursor: Cursor) -> AsyncIterator[Step]:
    is_baseline = cursor.read_at is None and cursor.since is None
    seen: set[str] = set()
    while True:
        page = await http.get(
            cursor.link or f"{folder_path(mailbox, folder)}/messages/delta",
            mailbox=mailbox,
            as_=Page[ListedMessage],
            params=None if cursor.link else {"changeType": "created", "$select": LISTED_FIELDS},
            prefer=[_PAGE_SIZE],
        )
        cursor = _after(page, cursor)
        found = [each for each in page.value if _is_arrival(each, cursor.since)]
        yield Step(
            messages=[decode.place(each).ref(mailbox) for each in found],
            cursor=_at_end(cursor) if cursor.is_round else cursor,
            envelopes={summary.ref.message_id: summary for summary in summaries(found, mailbox)} if is_baseline else {},
            is_baseline=is_baseline,
        )
        if cursor.is_round:
            return
        if cursor.link in seen:
            raise unusable("its pages have no end")
        seen.add(cursor.link or "")


def folder_path(mailbox: str, folder: str) -> str:
    return f"{user_path(mailbox)}/mailFolders/{quote(folder, safe='=')}"


def _after(page: Page[ListedMessage], cursor: Cursor) -> Cursor:
    if not (page.next_link or page.delta_link):
        raise unusable("it says neither where to go on nor that it is the end")
    return msgspec.structs.replace(cursor, link=page.next_link or page.delta_link, is_round=page.next_link is None)


def _at_end(cursor: Cursor) -> Cursor:
    """With the round's end what is old is behind us."""
    return Cursor(link=cursor.link, is_round=True, read_at=cursor.began_at)


def _is_arrival(message: ListedMessage, since: datetime | None) -> bool:
    if not message.is_there:
        return False
    received = decode.received(message)
    return since is None or received is None or received >= since


def _is_forgotten(refusal: GraphRefusal) -> bool:
    return refusal.status == _FORGOTTEN or refusal.code in _FORGOTTEN_CODES
