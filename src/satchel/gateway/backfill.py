"""Fills the index with what mailboxes received before the gateway watched them.

It announces nothing and keeps nothing from being announced: that is the watch's alone to decide, whichever of the two
comes to a message first.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from satchel.gateway.settings import AccountSettings
from satchel.gateway.sources import GraphCounts, account_source
from satchel.gateway.store.database import Store
from satchel.gateway.store.messages import record_past
from satchel.mail.source import MailSource, SourceError


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What became of a mailbox: how many messages the time had, and how many of them are new to the index.

    `failure` says why it could not be read to the end. Where the account's mail cannot be read at all, `mailbox` is
    empty.
    """

    account: str
    mailbox: str
    found: int = 0
    added: int = 0
    failure: str | None = None


OnProgress = Callable[[Backfilled], None]


async def backfill(
    engine: sa.Engine,
    accounts: Mapping[str, AccountSettings],
    ids: Mapping[str, str],
    wanted: Collection[str],
    *,
    since: datetime,
    now: datetime,
    on_progress: OnProgress,
) -> Sequence[Backfilled]:
    """Index what the accounts' mailboxes, or the `wanted` ones of them, received since then. `ids` are those of the
    accounts in the database, by their names.

    Raises ValueError for a wanted mailbox that no account has at its source, and SettingsError.
    """
    store = Store(engine, 1)
    results: list[Backfilled] = []
    for name, account in accounts.items():
        async with aclosing(account_source(ids[name], account, store, GraphCounts())) as source:
            work = Backfill(name, ids[name], source, store, since=since, now=now, on_progress=on_progress)
            results += await work.run(wanted)
    unknown = set(wanted) - {each.mailbox for each in results}
    if unknown and all(each.mailbox for each in results):
        raise ValueError(f"No mail source has the mailbox {', '.join(sorted(unknown))}. Look for a mistyped address.")
    return results


class Backfill:
    """Of one account. It works beside a running gateway, and may be done again: what is known is left as it is."""

    def __init__(
        self,
        account: str,
        account_id: str,
        source: MailSource,
        store: Store,
        *,
        since: datetime,
        now: datetime,
        on_progress: OnProgress,
    ) -> None:
        self._account = account
        self._account_id = account_id
        self._source = source
        self._store = store
        self._since = since
        self._now = now
        self._on_progress = on_progress

    async def run(self, wanted: Collection[str] = ()) -> Sequence[Backfilled]:
        """One result for each mailbox of the source, or for the wanted ones."""
        try:
            there = await self._source.mailboxes()
        except SourceError as error:
            return [Backfilled(self._account, "", failure=str(error))]
        return [await self._index(mailbox) for mailbox in there if not wanted or mailbox in wanted]

    async def _index(self, mailbox: str) -> Backfilled:
        result = Backfilled(self._account, mailbox)
        try:
            async for batch in self._source.history(mailbox, since=self._since, until=self._now):
                added = await self._store.call(record_past, self._account_id, batch)
                result = replace(result, found=result.found + len(batch), added=result.added + added)
                self._on_progress(result)
        except SourceError as error:
            return replace(result, failure=str(error))
        return result
