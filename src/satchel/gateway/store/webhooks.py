"""Webhook definitions in the store: added, listed and found. They take effect at once."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa

from satchel.gateway.audit.actions import Action
from satchel.gateway.sealing import MasterKey, seal_secret
from satchel.gateway.store.audit import BY_NOBODY_KNOWN, Acting, write_act
from satchel.gateway.store.mailboxes import mailbox_ids
from satchel.gateway.store.tables import accounts, mailboxes, webhook_mailboxes, webhooks
from satchel.gateway.webhooks.egress import STRICT, EgressPolicy
from satchel.gateway.webhooks.schedule import Schedule


class UnknownWebhook(LookupError):
    """No webhook has this id or name, or more than one has."""


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook to be added; `mailboxes` are addresses of its account. Whoever has no `secret` to tell is believed by
    no receiver that asks for one."""

    name: str
    url: str
    mailboxes: Collection[str]
    secret: str | None = None
    by_rules: bool = False
    include_text: bool = False
    include_custom_fields: bool = True
    schedule: Schedule = Schedule.STANDARD
    max_in_flight: int = 1


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook as it is shown: whether it has a secret, but not which. `account` is its account's name.

    `has_next_secret` while its secret is being changed. `paused_at` and `pause_note` while nothing is sent to it, and
    what is for it waits.
    """

    webhook_id: str
    account: str
    name: str
    url: str
    has_secret: bool
    has_next_secret: bool
    mailboxes: tuple[str, ...]
    enabled: bool
    by_rules: bool
    include_text: bool
    include_custom_fields: bool
    schedule: Schedule
    max_in_flight: int
    failing_since: datetime | None
    failed_attempts: int
    paused_at: datetime | None
    pause_note: str | None
    created_at: datetime
    created_by: str | None


def add_webhook(
    engine: sa.Engine,
    new: NewWebhook,
    *,
    policy: EgressPolicy = STRICT,
    master_key: MasterKey | None = None,
    acting: Acting = BY_NOBODY_KNOWN,
) -> WebhookRow:
    """Add an enabled webhook for mailboxes of its account; what arrives from now on is sent to it.

    Raises UnknownMailbox, or ValueError for an endpoint or a secret that cannot be used.
    """
    if not new.name.strip() or not new.mailboxes:
        raise ValueError("A webhook needs a name and at least one mailbox.")
    policy.check(new.url)
    webhook_id, now = str(uuid4()), datetime.now(UTC)
    with engine.begin() as connection:
        allowed = mailbox_ids(connection, acting.account_id, new.mailboxes)
        row = {
            "id": webhook_id,
            "account_id": acting.account_id,
            "name": new.name.strip(),
            "url": new.url,
            "sealed_secret": None if new.secret is None else seal_secret(new.secret, webhook_id, master_key),
            "enabled": True,
            "by_rules": new.by_rules,
            "include_text": new.include_text,
            "include_custom_fields": new.include_custom_fields,
            "schedule": new.schedule.value,
            "max_in_flight": new.max_in_flight,
            "failed_attempts": 0,
            "created_at": now,
            "created_by": acting.actor,
        }
        connection.execute(sa.insert(webhooks), [row])
        connection.execute(
            sa.insert(webhook_mailboxes),
            [{"webhook_id": webhook_id, "mailbox_id": mailbox_id} for mailbox_id in allowed.values()],
        )
        write_act(connection, acting, Action.WEBHOOK_ADDED, webhook_id, now)
        return _rows(connection, webhooks.c.id == webhook_id)[0]


def list_webhooks(engine: sa.Engine, account_id: str | None = None) -> Sequence[WebhookRow]:
    """All webhooks that were not removed, or those of one account, oldest first."""
    with engine.connect() as connection:
        return _rows(connection, sa.true() if account_id is None else webhooks.c.account_id == account_id)


def find_webhook(engine: sa.Engine, identifier: str, account_id: str | None = None) -> WebhookRow:
    """The webhook with this id or name, in one account or in any. Raises UnknownWebhook."""
    with engine.connect() as connection:
        return find_in(connection, identifier, account_id)


def find_in(connection: sa.Connection, identifier: str, account_id: str | None = None) -> WebhookRow:
    """As `find_webhook`, in the caller's transaction."""
    conditions = [sa.or_(webhooks.c.id == identifier, webhooks.c.name == identifier)]
    if account_id is not None:
        conditions.append(webhooks.c.account_id == account_id)
    found = _rows(connection, *conditions)
    if len(found) != 1:
        raise UnknownWebhook(
            f"{len(found) or 'No'} webhooks are called {identifier!r}. "
            "Name one by its id: satchel gateway webhooks list"
        )
    return found[0]


def write_change(
    connection: sa.Connection, webhook_id: str, actor: str, action: Action, now: datetime, **values: object
) -> None:
    """Write columns of a webhook, if any, and what was done, in the caller's transaction."""
    if values:
        connection.execute(sa.update(webhooks).where(webhooks.c.id == webhook_id).values(**values))
    account_id = connection.execute(sa.select(webhooks.c.account_id).where(webhooks.c.id == webhook_id)).scalar_one()
    write_act(connection, Acting(account_id, actor), action, webhook_id, now)


def _rows(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[WebhookRow]:
    query = sa.select(webhooks, accounts.c.name.label("account")).join_from(webhooks, accounts)
    query = query.where(*conditions, webhooks.c.removed_at.is_(None)).order_by(webhooks.c.created_at)
    found = connection.execute(query).all()
    addresses: dict[str, list[str]] = defaultdict(list)
    joined = sa.select(webhook_mailboxes.c.webhook_id, mailboxes.c.address).join_from(webhook_mailboxes, mailboxes)
    for webhook_id, address in connection.execute(joined.order_by(mailboxes.c.address)):
        addresses[webhook_id].append(address)
    return [
        WebhookRow(
            webhook_id=row.id,
            account=row.account,
            name=row.name,
            url=row.url,
            has_secret=row.sealed_secret is not None,
            has_next_secret=row.sealed_next_secret is not None,
            mailboxes=tuple(addresses[row.id]),
            enabled=row.enabled,
            by_rules=row.by_rules,
            include_text=row.include_text,
            include_custom_fields=row.include_custom_fields,
            schedule=Schedule(row.schedule),
            max_in_flight=row.max_in_flight,
            failing_since=row.failing_since,
            failed_attempts=row.failed_attempts,
            paused_at=row.paused_at,
            pause_note=row.pause_note,
            created_at=row.created_at,
            created_by=row.created_by,
        )
        for row in found
    ]
