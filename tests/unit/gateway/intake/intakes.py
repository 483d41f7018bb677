"""An intake on a clock that the test sets, and what can be said of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from satchel.gateway.intake import Intake
from satchel.gateway.store.messages import delivery_id
from tests.unit.gateway.fakes import (
    RememberingQueue,
)

Start = Callable[..., Intake]


@dataclass
class Clock:
    """Stands still unless the test lets time pass."""

    now: datetime = datetime(2026, 1, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


async def retry(intake: Intake, clock: Clock, times: int = 1) -> None:
    """Let the longest pause pass, and take up what is pending."""
    for _ in range(times):
        clock.pass_seconds(300)
        await intake.take_up_pending()


def asked(queue: RememberingQueue) -> list[str]:
    return queue.asked


def ids(webhook: str, *message_ids: str) -> list[str]:
    return [delivery_id(webhook, message_id) for message_id in message_ids]


@asynccontextmanager
async def running(intake: Intake) -> AsyncIterator[None]:
    task = asyncio.create_task(intake.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
