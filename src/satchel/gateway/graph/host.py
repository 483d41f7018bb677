"""The host of an account's source: what the source remembers lies in the gateway's database."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from satchel.gateway.store.content_facts import find_facts, save_fact
from satchel.gateway.store.cursors import read_cursor, write_cursor
from satchel.gateway.store.database import Store
from satchel.gateway.store.notices import take_catch_up_requests
from satchel.gateway.store.subscriptions import delete_subscription, list_subscriptions, write_subscription
from satchel.mail.host import ContentFact, Subscription


class StoredHost:
    """A `SourceHost` over the store. Raises SQLAlchemyError where the database fails."""

    def __init__(self, store: Store, account_id: str) -> None:
        self._store = store
        self._account_id = account_id

    async def cursor(self, key: str) -> str | None:
        return await self._store.call(read_cursor, self._account_id, key)

    async def save_cursor(self, key: str, value: str | None) -> None:
        await self._store.call(write_cursor, self._account_id, key, value)

    async def content_facts(self, keys: Collection[str]) -> dict[str, ContentFact]:
        return await self._store.call(find_facts, self._account_id, keys, datetime.now(UTC))

    async def remember_content(self, key: str, fact: ContentFact | None) -> None:
        await self._store.call(save_fact, self._account_id, key, fact, datetime.now(UTC))

    async def subscriptions(self) -> Sequence[Subscription]:
        return await self._store.call(list_subscriptions, self._account_id)

    async def save_subscription(self, subscription: Subscription) -> None:
        await self._store.call(write_subscription, self._account_id, subscription)

    async def remove_subscription(self, key: str) -> None:
        await self._store.call(delete_subscription, self._account_id, key)

    async def take_catch_up_requests(self) -> frozenset[str]:
        return await self._store.call(take_catch_up_requests, self._account_id)
