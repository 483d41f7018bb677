"""What waits, as the metrics tell it."""

import sqlalchemy as sa

from satchel.gateway.store.database import Store
from satchel.gateway.telemetry.metrics import Metrics
from satchel.gateway.telemetry.readings import read_deliveries
from satchel.gateway.webhooks.standing import DeliveryStanding
from tests.unit.gateway.store.lane import arrive, make_lane, set_webhook
from tests.unit.gateway.webhooks.crew import Crew, until


def shown(metrics: Metrics) -> dict[str, float]:
    names = ("pending_deliveries", "oldest_pending_delivery_seconds", "paused_webhooks", "delivery_lanes")
    return {name: metrics.registry.get_sample_value(f"satchel_gateway_{name}") or 0.0 for name in names}


async def test_the_metrics_say_what_waits(engine: sa.Engine, store: Store) -> None:
    crew, metrics, standing = Crew(store), Metrics(), DeliveryStanding(store)
    crew.receiver.free.clear()
    async with crew.at_work(looks=False) as at_work:
        read_deliveries(metrics, at_work, standing)
        assert set(shown(metrics).values()) == {0.0}
        lane = make_lane(engine, "a", "b")
        await at_work.wake([lane.lane])
        await until(lambda: crew.receiver.under_way == 1)
        await standing.look()
        seen = shown(metrics)
        assert (seen["pending_deliveries"], seen["delivery_lanes"]) == (2.0, 1.0)
        assert seen["oldest_pending_delivery_seconds"] > 0.0
        crew.receiver.free.set()
        await until(lambda: crew.queue.is_idle)
        set_webhook(engine, paused_at=lane.now)
        arrive(engine, "c")
        await standing.look()
        seen = shown(metrics)
        assert (seen["pending_deliveries"], seen["paused_webhooks"], seen["delivery_lanes"]) == (1.0, 1.0, 0.0)
