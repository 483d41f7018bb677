"""Which subscriptions there should be, and what to do next about those that are. Decides, and does nothing.

Source: Graph, "subscription resource type" and "Reduce missing subscriptions and change notifications".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from satchel.mail.graph.delta import folder_path
from satchel.mail.host import Subscription, SubscriptionStatus

# Graph makes 45 minutes of less.
LEAST_MINUTES = 45
# How much of its life a subscription has behind it when it is renewed; what is left is for when that fails.
_RENEWED_AT = 2 / 3


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder whose arrivals are subscribed to."""

    mailbox: str
    name: str

    @property
    def key(self) -> str:
        return f"{self.mailbox}/{self.name}"

    @property
    def resource(self) -> str:
        return f"{folder_path(self.mailbox, self.name)}/messages"


class Act(StrEnum):
    """What can be done about a subscription."""

    CREATE = "create"
    RENEW = "renew"
    REAUTHORIZE = "reauthorize"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do now; `row` is the subscription as it stands, None where there is none yet."""

    act: Act
    folder: Folder
    row: Subscription | None = None


def due_actions(rows: Iterable[Subscription], wanted: Sequence[Folder], now: datetime) -> list[Action]:
    """All that is to be done now so that each wanted folder has a subscription that lives, and no other has one."""
    by_key = {row.key: row for row in rows}
    wanted_keys = {folder.key for folder in wanted}
    dropped = [
        Action(Act.DROP, Folder(row.mailbox, row.folder), row) for row in by_key.values() if row.key not in wanted_keys
    ]
    due = ((folder, by_key.get(folder.key)) for folder in wanted)
    return dropped + [Action(act, folder, row) for folder, row in due if (act := _due_act(row, now)) is not None]


def _due_act(row: Subscription | None, now: datetime) -> Act | None:
    if row is None or row.status in {SubscriptionStatus.CREATING, SubscriptionStatus.REMOVED}:
        return Act.CREATE
    if row.subscription_id is None or row.expires_at is None or row.expires_at <= now:
        return Act.CREATE
    if row.status is SubscriptionStatus.REAUTHORIZE:
        return Act.REAUTHORIZE
    return Act.RENEW if row.renew_at is None or row.renew_at <= now else None


def asked_expiry(now: datetime, minutes: int) -> datetime:
    """Until when a subscription is asked for."""
    return now + timedelta(minutes=max(minutes, LEAST_MINUTES))


def renewal_time(now: datetime, expires_at: datetime) -> datetime:
    """When to renew a subscription that now lives until `expires_at`, which may be sooner than was asked for."""
    return now + (expires_at - now) * _RENEWED_AT
