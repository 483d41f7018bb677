"""One delivery attempt: written down, sent, judged, written down again, and queued anew where it is to be repeated."""

import random
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import structlog

from satchel.durable.engine import DurableEngine
from satchel.gateway.sealing import MasterKey
from satchel.gateway.settings import WebhookSettings
from satchel.gateway.store.database import Store
from satchel.gateway.store.deliveries import BegunAttempt, PendingDelivery, begin_attempt, finish_attempt
from satchel.gateway.webhooks.decision import DeliveryStatus, decide
from satchel.gateway.webhooks.payload import message_event
from satchel.gateway.webhooks.sender import WebhookSender

WORKFLOW = "webhook-delivery"

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
