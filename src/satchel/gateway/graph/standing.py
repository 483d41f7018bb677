"""How many subscriptions there are of each status, looked up now and then for the metrics."""

import asyncio
from collections import Counter

import sqlalchemy as sa
import structlog

from satchel.gateway.store.database import Store
from satchel.gateway.store.subscriptions import count_subscriptions
from satchel.mail.host import SubscriptionStatus

INTERVAL_SECONDS = 5.0

log = structlog.get_logger(__name__)


class SubscriptionStanding:
    """Counts as of the last look, which `keep` makes: who reads the metrics does not wait for the database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.by_status: dict[str, int] = dict.fromkeys(SubscriptionStatus, 0)

    async def look(self) -> None:
        """Count anew. Raises SQLAlchemyError."""
        found = Counter(await self._store.call(count_subscriptions))
        self.by_status = {status: found[status] for status in SubscriptionStatus}

    async def keep(self) -> None:
        """Look every `INTERVAL_SECONDS`, until cancelled."""
        while True:
            try:
                await self.look()
            except sa.exc.SQLAlchemyError as error:
                log.warning("subscriptions_not_counted", error=type(error).__name__)
            await asyncio.sleep(INTERVAL_SECONDS)
