"""Subscriptions to the arrivals of a mail server, as they stand."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from satchel.gateway.store.tables import graph_subscriptions
from satchel.mail.host import Subscription, SubscriptionStatus


def list_subscriptions(engine: sa.Engine, account_id: str) -> Sequence[Subscription]:
    query = sa.select(graph_subscriptions).where(graph_subscriptions.c.account_id == account_id)
    with engine.connect() as connection:
        return [
            Subscription(
                key=row.key,
                mailbox=row.mailbox,
                folder=row.folder,
                client_state_hash=row.client_state_hash,
                status=SubscriptionStatus(row.status),
                subscription_id=row.subscription_id,
                expires_at=row.expires_at,
                renew_at=row.renew_at,
            )
            for row in connection.execute(query.order_by(graph_subscriptions.c.key))
        ]


def write_subscription(engine: sa.Engine, account_id: str, subscription: Subscription) -> None:
    """Anew or over the one with this key; one that was said to be removed stays so until it has another secret."""
    values = {
        "mailbox": subscription.mailbox,
        "folder": subscription.folder,
        "client_state_hash": subscription.client_state_hash,
        "status": subscription.status,
        "subscription_id": subscription.subscription_id,
        "expires_at": subscription.expires_at,
        "renew_at": subscription.renew_at,
    }
    insert = sqlite.insert(graph_subscriptions).values(account_id=account_id, key=subscription.key, **values)
    was_removed = sa.and_(
        graph_subscriptions.c.status == SubscriptionStatus.REMOVED,
        graph_subscriptions.c.client_state_hash == insert.excluded.client_state_hash,
    )
    changed: dict[str, object] = {name: insert.excluded[name] for name in values}
    changed["status"] = sa.case((was_removed, SubscriptionStatus.REMOVED.value), else_=insert.excluded.status)
    with engine.begin() as connection:
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=[graph_subscriptions.c.account_id, graph_subscriptions.c.key], set_=changed
            )
        )


def delete_subscription(engine: sa.Engine, account_id: str, key: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.delete(graph_subscriptions).where(
                graph_subscriptions.c.account_id == account_id, graph_subscriptions.c.key == key
            )
        )


def count_subscriptions(engine: sa.Engine) -> dict[str, int]:
    """How many there are of each status, over all accounts; statuses that none has are left out."""
    query = sa.select(graph_subscriptions.c.status, sa.func.count()).group_by(graph_subscriptions.c.status)
    with engine.connect() as connection:
        return {row.status: row[1] for row in connection.execute(query)}
