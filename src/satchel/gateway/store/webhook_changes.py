"""Changes of webhooks in the store: what they are, on and off, paused, resumed, removed. They take effect at once."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from satchel.gateway.audit.actions import UNKNOWN_ACTOR, Action
from satchel.gateway.store.attempt_rows import cancel_waiting
from satchel.gateway.store.deliveries import WEBHOOK_OFF
from satchel.gateway.store.mailboxes import mailbox_ids
from satchel.gateway.store.pauses import pause, resume
from satchel.gateway.store.tables import rules, webhook_mailboxes, webhooks
from satchel.gateway.store.webhooks import WebhookRow, find_in, write_change
from satchel.gateway.webhooks.egress import STRICT, EgressPolicy
from satchel.gateway.webhooks.schedule import Schedule

MAILBOX_TAKEN = "mailbox_taken_away"


class WebhookInUse(ValueError):
    """Rules fire the webhook as it is; the message says what to do about them first."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be different of a webhook; None leaves it as it is. Mailboxes are addresses of its account."""

    name: str | None = None
    url: str | None = None
    add_mailboxes: Collection[str] = ()
    remove_mailboxes: Collection[str] = ()
    by_rules: bool | None = None
    include_text: bool | None = None
    include_custom_fields: bool | None = None
    schedule: Schedule | None = None
    max_in_flight: int | None = None


def change_webhook(
    engine: sa.Engine,
    identifier: str,
    changes: Changes,
    *,
    policy: EgressPolicy = STRICT,
    account_id: str | None = None,
    actor: str = UNKNOWN_ACTOR,
) -> WebhookRow:
    """Change a webhook, given its id or name; what waits for a mailbox that it loses is cancelled.

    Raises UnknownWebhook, UnknownMailbox, WebhookInUse, or ValueError for what cannot be.
    """
    if changes.url is not None:
        policy.check(changes.url)
    if changes.name is not None and not changes.name.strip():
        raise ValueError("A webhook needs a name.")
    now = datetime.now(UTC)
    with engine.begin() as connection:
        row = find_in(connection, identifier, account_id)
        values = {name: value for name, value in _values(changes).items() if value != getattr(row, name)}
        if values.get("by_rules") is False:
            _refuse_while_rules_fire(connection, row)
        if _change_mailboxes(connection, row, changes, now) or values:
            write_change(connection, row.webhook_id, actor, Action.WEBHOOK_CHANGED, now, **values)
        return find_in(connection, row.webhook_id)


def set_webhook_enabled(
    engine: sa.Engine, identifier: str, *, enabled: bool, account_id: str | None = None, actor: str = UNKNOWN_ACTOR
) -> WebhookRow:
    """Switch a webhook, given its id or name, on or off. Off, nothing new is sent and what waits is cancelled."""
    now = datetime.now(UTC)
    with engine.begin() as connection:
        row = find_in(connection, identifier, account_id)
        if row.enabled == enabled:
            return row
        if not enabled:
            cancel_waiting(connection, row.webhook_id, WEBHOOK_OFF, now)
        action = Action.WEBHOOK_ENABLED if enabled else Action.WEBHOOK_DISABLED
        write_change(connection, row.webhook_id, actor, action, now, enabled=enabled)
        return find_in(connection, row.webhook_id)


def pause_webhook(
    engine: sa.Engine, identifier: str, note: str, *, account_id: str | None = None, actor: str = UNKNOWN_ACTOR
) -> WebhookRow:
    """Pause a webhook, given its id or name: nothing is sent to it, and what is for it waits. The first note stays."""
    with engine.begin() as connection:
        row = find_in(connection, identifier, account_id)
        pause(connection, row.webhook_id, note, actor, datetime.now(UTC))
        return find_in(connection, row.webhook_id)


def resume_webhook(
    engine: sa.Engine, identifier: str, *, account_id: str | None = None, actor: str = UNKNOWN_ACTOR
) -> WebhookRow:
    """End the pause of a webhook, given its id or name; what has waited is sent now, in its order."""
    with engine.begin() as connection:
        row = find_in(connection, identifier, account_id)
        resume(connection, row.webhook_id, actor, datetime.now(UTC))
        return find_in(connection, row.webhook_id)


def remove_webhook(
    engine: sa.Engine, identifier: str, *, account_id: str | None = None, actor: str = UNKNOWN_ACTOR
) -> WebhookRow:
    """Remove a webhook, given its id or name, and forget its secret; its history stays. Raises WebhookInUse."""
    now = datetime.now(UTC)
    with engine.begin() as connection:
        row = find_in(connection, identifier, account_id)
        _refuse_while_rules_fire(connection, row)
        cancel_waiting(connection, row.webhook_id, WEBHOOK_OFF, now)
        removed: dict[str, object] = {
            "enabled": False,
            "sealed_secret": None,
            "sealed_next_secret": None,
            "removed_at": now,
        }
        write_change(connection, row.webhook_id, actor, Action.WEBHOOK_REMOVED, now, **removed)
        return row


def _values(changes: Changes) -> dict[str, object]:
    named = {
        "name": None if changes.name is None else changes.name.strip(),
        "url": changes.url,
        "by_rules": changes.by_rules,
        "include_text": changes.include_text,
        "include_custom_fields": changes.include_custom_fields,
        "schedule": None if changes.schedule is None else changes.schedule.value,
        "max_in_flight": changes.max_in_flight,
    }
    return {name: value for name, value in named.items() if value is not None}


def _change_mailboxes(connection: sa.Connection, row: WebhookRow, changes: Changes, now: datetime) -> bool:
    """Whether anything is different now."""
    account_id = connection.execute(
        sa.select(webhooks.c.account_id).where(webhooks.c.id == row.webhook_id)
    ).scalar_one()
    added = mailbox_ids(connection, account_id, changes.add_mailboxes)
    taken = mailbox_ids(connection, account_id, changes.remove_mailboxes)
    new = [mailbox_id for address, mailbox_id in added.items() if address not in row.mailboxes]
    lost = [mailbox_id for address, mailbox_id in taken.items() if address in row.mailboxes]
    if len(row.mailboxes) + len(new) == len(lost):
        raise ValueError("A webhook needs at least one mailbox. Remove it instead: satchel gateway webhooks remove")
    if lost:
        _refuse_while_rules_fire(connection, row, rules.c.mailbox_id.in_(lost))
        cancel_waiting(connection, row.webhook_id, MAILBOX_TAKEN, now, mailbox_ids=lost)
        of_webhook = webhook_mailboxes.c.webhook_id == row.webhook_id
        connection.execute(sa.delete(webhook_mailboxes).where(of_webhook, webhook_mailboxes.c.mailbox_id.in_(lost)))
    if new:
        rows = [{"webhook_id": row.webhook_id, "mailbox_id": mailbox_id} for mailbox_id in new]
        connection.execute(sa.insert(webhook_mailboxes), rows)
    return bool(new or lost)


def _refuse_while_rules_fire(connection: sa.Connection, row: WebhookRow, *conditions: sa.ColumnElement[bool]) -> None:
    query = sa.select(sa.func.count()).select_from(rules).where(rules.c.webhook_id == row.webhook_id, *conditions)
    count = connection.execute(query).scalar_one()
    if count:
        raise WebhookInUse(
            f"{count} of the rules fire {row.name!r}. Remove or change them first: satchel gateway rules list"
        )
