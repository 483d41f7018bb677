"""Removes what has been kept as long as it is to be, a few rows at a time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
import structlog

from satchel.gateway.store.database import Store

INTERVAL_SECONDS = 86_400.0
BATCH = 1000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept for so many days. `what` names it in the log; `remove` takes the instant before which it is old and
    a number of rows, and says how many of these at most it has removed."""

    what: str
    days: int
    remove: Callable[[sa.Engine, datetime, int], int]


async def keep(store: Store, kept: Kept) -> None:
    """Remove what is older, now and once a day, until cancelled."""
    while True:
        try:
            await remove_old(store, kept, datetime.now(UTC) - timedelta(days=kept.days))
        except sa.exc.SQLAlchemyError as error:
            log.warning(f"{kept.what}_retention_interrupted", error=type(error).__name__)
        await asyncio.sleep(INTERVAL_SECONDS)


async def remove_old(store: Store, kept: Kept, before: datetime) -> int:
    """Remove all from before an instant, in batches that let others write in between; how many it were."""
    removed = 0
    while count := await store.call(kept.remove, before, BATCH):
        removed += count
    if removed:
        log.info(f"{kept.what}_removed", count=removed)
    return removed
