"""Pauses of webhooks in the store: while one lasts nothing is sent to it, and what is for it waits."""

from datetime import datetime

import sqlalchemy as sa

from satchel.gateway.audit.actions import Action
from satchel.gateway.store.audit import Acting, write_act
from satchel.gateway.store.deliveries import make_all_due
from satchel.gateway.store.tables import webhooks


def pause(connection: sa.Connection, webhook_id: str, note: str, actor: str, now: datetime) -> bool:
    """Pause a webhook in the caller's transaction, and write down who did; whether it was not paused before.

    One that is paused keeps its note: the first trouble is the one to mend.
    """
    update = sa.update(webhooks).where(webhooks.c.id == webhook_id, webhooks.c.paused_at.is_(None))
    update = update.values(paused_at=now, pause_note=note).returning(webhooks.c.account_id)
    account_id = connection.execute(update).scalar_one_or_none()
    if account_id is None:
        return False
    write_act(connection, Acting(account_id, actor), Action.WEBHOOK_PAUSED, webhook_id, now)
    return True


def resume(connection: sa.Connection, webhook_id: str, actor: str, now: datetime) -> bool:
    """End a pause in the caller's transaction, and write down who did; whether there was one.

    Its failures are forgotten, and what waits for it is due now, in its order.
    """
    update = sa.update(webhooks).where(webhooks.c.id == webhook_id, webhooks.c.paused_at.is_not(None))
    ended = update.values(paused_at=None, pause_note=None, failing_since=None, failed_attempts=0)
    account_id = connection.execute(ended.returning(webhooks.c.account_id)).scalar_one_or_none()
    if account_id is None:
        return False
    make_all_due(connection, webhook_id, now)
    write_act(connection, Acting(account_id, actor), Action.WEBHOOK_RESUMED, webhook_id, now)
    return True
