"""Subscriptions by status, over all accounts."""

import sqlalchemy as sa

from satchel.gateway.graph.standing import SubscriptionStanding
from satchel.gateway.store.database import Store
from satchel.gateway.store.subscriptions import write_subscription
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID
from satchel.mail.host import Subscription, SubscriptionStatus


async def test_every_status_is_there_with_its_count(store: Store, engine: sa.Engine) -> None:
    for number, status in enumerate(("active", "active", "removed")):
        row = Subscription(f"k{number}", "a@example.test", "inbox", f"hash {number}", SubscriptionStatus(status))
        write_subscription(engine, DEFAULT_ACCOUNT_ID, row)
    standing = SubscriptionStanding(store)
    assert set(standing.by_status.values()) == {0}
    await standing.look()
    assert {status: count for status, count in standing.by_status.items() if count} == {"active": 2, "removed": 1}
    assert standing.by_status.keys() == set(SubscriptionStatus)
