"""A webhook that is tried out by hand: what it is called with, and that somebody did. No delivery comes of it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa

from satchel.gateway.audit.actions import UNKNOWN_ACTOR, Action
from satchel.gateway.sealing import MasterKey
from satchel.gateway.store.secrets import open_secrets
from satchel.gateway.store.webhooks import WebhookRow, find_in, write_change


@dataclass(frozen=True, slots=True)
class Tried:
    """The webhook, and its secrets: the first is the Bearer, all of them sign."""

    webhook: WebhookRow
    secrets: tuple[str, ...] = field(repr=False)


def take_for_trial(
    engine: sa.Engine,
    identifier: str,
    *,
    master_key: MasterKey | None,
    account_id: str | None = None,
    actor: str = UNKNOWN_ACTOR,
) -> Tried:
    """The webhook with this id or name, also one that is off or paused; the audit trail has it before it is called.

    Raises UnknownWebhook, or SealingError for secrets that do not open.
    """
    with engine.begin() as connection:
        webhook = find_in(connection, identifier, account_id)
        tried = Tried(webhook, open_secrets(connection, webhook.webhook_id, master_key))
        write_change(connection, webhook.webhook_id, actor, Action.WEBHOOK_TESTED, datetime.now(UTC))
    return tried
