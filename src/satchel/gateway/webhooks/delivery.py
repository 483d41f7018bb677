"""One delivery attempt: written down, sent, judged, written down again, and queued anew where it is to be repeated."""

import asyncio
import random
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

import msgspec
import sqlalchemy as sa
import structlog

from satchel.durable.engine import DurableEngine
from satchel.gateway.sealing import MasterKey
from satchel.gateway.settings import WebhookSettings
from satchel.gateway.store.database import Store
from satchel.gateway.store.deliveries import (
    BegunAttempt,
    Lane,
    PendingDelivery,
    begin_attempt,
    finish_attempt,
    pending_deliveries,
)
from satchel.gateway.webhooks.decision import DeliveryStatus, decide
from satchel.gateway.webhooks.payload import message_event
from satchel.gateway.webhooks.sender import WebhookSender

WORKFLOW = "webhook-delivery"
_MAX_PENDING = 100_000
_SWEEP_LIMIT = 500

log = structlog.get_logger(__name__)


class Deliveries:
    """Runs delivery attempts as durable work: each attempt is one workflow, so that a long pause holds no place."""

    def __init__(
        self,
        store: Store,
        engine: DurableEngine,
        sender: WebhookSender,
        settings: WebhookSettings,
        jitter: Callable[[], float] = random.random,
        on_attempt: Callable[[DeliveryStatus], None] | None = None,
        master_key: MasterKey | None = None,
    ) -> None:
        """`on_attempt` is told what a delivery has become by each attempt."""
        self._master_key = master_key
        self._store = store
        self._engine = engine
        self._sender = sender
        self._settings = settings
        self._jitter = jitter
        self._on_attempt = on_attempt
        engine.register(WORKFLOW, self.attempt, concurrency=settings.max_parallel)

    async def run(self) -> None:
        """Take up what an earlier process left, and now and then what nobody works on, until cancelled."""
        await self._take_up(datetime.now(UTC) + timedelta(days=1), _MAX_PENDING)
        while True:
            await asyncio.sleep(self._settings.sweep_seconds)
            try:
                await self._take_up(datetime.now(UTC) - timedelta(seconds=self._settings.sweep_seconds), _SWEEP_LIMIT)
            except (sa.exc.SQLAlchemyError, OSError) as error:
                log.warning("deliveries_interrupted", error=type(error).__name__)

    async def wake(self, lanes: Collection[Lane]) -> None:
        """Something new waits in these lanes. Asking twice is asking once."""
        await self._take_up(datetime.now(UTC) + timedelta(days=1), _MAX_PENDING, lanes)

    async def _take_up(self, due_before: datetime, limit: int, lanes: Collection[Lane] | None = None) -> None:
        pending = await self._store.call(pending_deliveries, due_before=due_before, limit=limit, lanes=lanes)
        await asyncio.gather(*map(self.enqueue, pending))

    async def enqueue(self, delivery: PendingDelivery) -> None:
        """Ask for a delivery's next attempt at its time. Asking twice for one attempt is asking once."""
        delay_seconds = (delivery.due_at - datetime.now(UTC)).total_seconds()
        await self._engine.enqueue(
            WORKFLOW,
            f"{delivery.delivery_id}#{delivery.attempt}",
            delivery.delivery_id,
            delivery.attempt,
            delay_seconds=delay_seconds if delay_seconds > 0 else None,
        )

    async def attempt(self, delivery_id: str, attempt: int) -> None:
        """One attempt of one delivery; harmless when it was made already."""
        begun = await self._store.call(begin_attempt, delivery_id, attempt)
        if begun is None:
            return
        outcome = await self._sender.post(begun.url, self._secrets(begun), _body(begun), webhook_id=delivery_id)
        decision = decide(
            outcome,
            attempt,
            pauses=self._settings.retry_seconds,
            jitter=self._jitter(),
            now=datetime.now(UTC),
        )
        due_at = await self._store.call(finish_attempt, begun, outcome, decision)
        if self._on_attempt is not None:
            self._on_attempt(decision.status)
        log.info(
            "delivery_attempted",
            delivery_id=delivery_id,
            attempt=attempt,
            status=decision.status.value,
            status_code=outcome.status,
            error=decision.error,
        )
        if due_at is not None:
            await self.enqueue(PendingDelivery(delivery_id, attempt + 1, due_at))

    def _secrets(self, begun: BegunAttempt) -> list[str]:
        if begun.sealed_secret is None or self._master_key is None:
            return []
        return [self._master_key.unseal(begun.sealed_secret, begun.webhook_id)]


def _body(begun: BegunAttempt) -> bytes:
    return msgspec.json.encode(message_event(begun.message, begun.mailbox))
