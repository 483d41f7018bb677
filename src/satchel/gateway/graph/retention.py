"""Removes what is remembered of contents that nobody has asked for in a long time."""

import asyncio
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
import structlog

from satchel.gateway.store.content_facts import remove_unused_facts
from satchel.gateway.store.database import Store

UNUSED_DAYS = 90
INTERVAL_SECONDS = 86_400.0
BATCH = 1000

log = structlog.get_logger(__name__)


async def keep_used_facts(store: Store) -> None:
    """Remove facts that were not used for `UNUSED_DAYS`, now and once a day, until cancelled."""
    while True:
        try:
            await remove_facts(store, datetime.now(UTC) - timedelta(days=UNUSED_DAYS))
        except sa.exc.SQLAlchemyError as error:
            log.warning("content_facts_retention_interrupted", error=type(error).__name__)
        await asyncio.sleep(INTERVAL_SECONDS)


async def remove_facts(store: Store, before: datetime) -> int:
    """Remove all that were last used before an instant, in batches that let others write in between; how many."""
    removed = 0
    while count := await store.call(remove_unused_facts, before, BATCH):
        removed += count
    if removed:
        log.info("content_facts_removed", count=removed)
    return removed
