"""How much waits to be delivered, looked up now and then for the metrics."""

import asyncio
import time

import sqlalchemy as sa
import structlog

from satchel.gateway.store.database import Store
from satchel.gateway.store.deliveries import Waiting, count_waiting

INTERVAL_SECONDS = 5.0

log = structlog.get_logger(__name__)


class DeliveryStanding:
    """Counts as of the last look, which `keep` makes: who reads the metrics does not wait for the database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.waiting = Waiting()

    @property
    def oldest_age_seconds(self) -> float:
        """How long ago the oldest of what waits was written down; 0 where nothing waits."""
        oldest = self.waiting.oldest_created_at
        return 0.0 if oldest is None else max(0.0, time.time() - oldest.timestamp())

    async def look(self) -> None:
        """Count anew. Raises SQLAlchemyError."""
        self.waiting = await self._store.call(count_waiting)

    async def keep(self) -> None:
        """Look every `INTERVAL_SECONDS`, until cancelled."""
        while True:
            try:
                await self.look()
            except sa.exc.SQLAlchemyError as error:
                log.warning("deliveries_not_counted", error=type(error).__name__)
            await asyncio.sleep(INTERVAL_SECONDS)
