"""What the gateway's parts count for themselves, as metrics: it is read whenever somebody asks for them."""

from collections.abc import Mapping, Sequence

from satchel.gateway.graph.notifications import Notifications
from satchel.gateway.graph.standing import SubscriptionStanding
from satchel.gateway.intake import Intake
from satchel.gateway.sources import GraphCounts
from satchel.gateway.telemetry.metrics import Metrics
from satchel.gateway.webhooks.delivery import Deliveries
from satchel.gateway.webhooks.standing import DeliveryStanding


def read_intakes(metrics: Metrics, intakes: Sequence[Intake]) -> None:
    """What has come in, and what waits."""
    metrics.read_counter(
        "messages_indexed",
        "Messages that have come into the index since the start.",
        lambda: sum(intake.indexed_count for intake in intakes),
    )
    metrics.read_gauge(
        "undescribed_messages",
        "Messages whose envelope could not be read yet and is tried again.",
        lambda: sum(intake.undescribed_count for intake in intakes),
    )


def read_deliveries(metrics: Metrics, deliveries: Deliveries, standing: DeliveryStanding) -> None:
    """What waits to be delivered, and what is at work on it."""
    metrics.read_gauge(
        "pending_deliveries", "Deliveries that wait or are under way.", lambda: standing.waiting.deliveries
    )
    metrics.read_gauge(
        "oldest_pending_delivery_seconds",
        "Age of the oldest delivery that waits or is under way.",
        lambda: standing.oldest_age_seconds,
    )
    metrics.read_gauge("paused_webhooks", "Webhooks that are paused.", lambda: standing.waiting.paused_webhooks)
    metrics.read_gauge(
        "delivery_lanes", "Lanes (a webhook and a mailbox) that are being worked on.", lambda: deliveries.active_lanes
    )


def read_graph(metrics: Metrics, counts: GraphCounts) -> None:
    """Requests to Microsoft Graph, and downloads that broke there."""
    metrics.read_counters(
        "graph_requests",
        "Requests to Microsoft Graph, each attempt by itself, by what became of it.",
        "outcome",
        lambda: counts.calls.by_outcome,
    )
    metrics.read_counters(
        "graph_healed_streams",
        "Downloads that broke at Microsoft Graph: gone on with to their end, or given up.",
        "outcome",
        lambda: {"healed": counts.healed_streams(), "given_up": counts.failed_heals()},
    )


def read_notifications(metrics: Metrics, notifications: Notifications) -> None:
    """What was posted to the notification URLs."""

    def seen() -> Mapping[str, float]:
        return {
            "taken": notifications.taken_count,
            "refused": notifications.refused_count,
            "unreadable": notifications.unreadable_count,
        }

    metrics.read_counters("graph_notifications", "Notifications that were posted to the gateway.", "outcome", seen)


def read_subscriptions(metrics: Metrics, standing: SubscriptionStanding) -> None:
    """How the subscriptions stand."""
    metrics.read_gauges(
        "graph_subscriptions", "Subscriptions at Microsoft Graph.", "status", lambda: standing.by_status
    )
