"""Removes what has been kept as long as the settings say: old events of the audit trail."""

import asyncio
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
import structlog

from satchel.gateway.store.audit import remove_events
from satchel.gateway.store.database import Store

INTERVAL_SECONDS = 86_400.0
BATCH = 1000

log = structlog.get_logger(__name__)


async def keep_audit_days(store: Store, days: int) -> None:
    """Remove what is older, now and once a day, until cancelled."""
    while True:
        try:
            await remove_old_events(store, datetime.now(UTC) - timedelta(days=days))
        except sa.exc.SQLAlchemyError as error:
            log.warning("audit_retention_interrupted", error=type(error).__name__)
        await asyncio.sleep(INTERVAL_SECONDS)


async def remove_old_events(store: Store, before: datetime) -> int:
    """Remove all events from before an instant, in batches that let others write in between; how many it were."""
    removed = 0
    while count := await store.call(remove_events, before, BATCH):
        removed += count
    if removed:
        log.info("audit_events_removed", count=removed)
    return removed
