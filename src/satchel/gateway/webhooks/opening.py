"""Puts the delivery of webhooks together, as the settings want it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from satchel.gateway.sealing import MasterKey
from satchel.gateway.settings import WebhookSettings
from satchel.gateway.store.attempts import DeliveryPolicy
from satchel.gateway.store.database import Store
from satchel.gateway.webhooks.courier import Courier, CourierOptions, Texts
from satchel.gateway.webhooks.decision import DeliveryStatus
from satchel.gateway.webhooks.delivery import Bounds, Deliveries, WorkQueue
from satchel.gateway.webhooks.schedule import Schedule
from satchel.gateway.webhooks.sender import WebhookSender


@asynccontextmanager
async def open_deliveries(
    settings: WebhookSettings,
    store: Store,
    queue: WorkQueue,
    texts: Texts,
    *,
    master_key: MasterKey | None,
    on_attempt: Callable[[DeliveryStatus], None] | None,
) -> AsyncIterator[Deliveries]:
    """The deliveries, whose work the queue does once it is launched, until it is shut down in the block."""
    pauses = {Schedule.STANDARD: settings.retry_seconds, Schedule.LONG: settings.long_retry_seconds}
    policy = DeliveryPolicy(pauses, settings.pause_after_seconds, master_key)
    options = CourierOptions(settings.max_text_characters, on_attempt=on_attempt)
    sender = WebhookSender(settings)
    try:
        courier = Courier(store, sender, texts, policy, options)
        yield Deliveries(
            store, queue, courier, policy, Bounds(settings.max_parallel, settings.max_parallel_per_webhook)
        )
    finally:
        await sender.aclose()
