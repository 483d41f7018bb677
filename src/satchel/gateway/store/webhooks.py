"""Webhook definitions in the store: added, listed, enabled, disabled, removed. Changes take effect at once."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa

from satchel.gateway.addresses import Network
from satchel.gateway.audit.actions import UNKNOWN_ACTOR, Action
from satchel.gateway.sealing import MASTER_KEY, MasterKey
from satchel.gateway.store.audit import BY_NOBODY_KNOWN, Acting, write_act
from satchel.gateway.store.mailboxes import mailbox_ids
from satchel.gateway.store.tables import accounts, mailboxes, webhook_mailboxes, webhooks
from satchel.gateway.webhooks.egress import RefusedEndpoint, check_endpoint, is_allowed, literal_address


class UnknownWebhook(LookupError):
    """No webhook has this id or name, or more than one has."""


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook as it is shown: whether it has a secret, but not which. `account` is its account's name."""

    webhook_id: str
    account: str
    name: str
    url: str
    has_secret: bool
    mailboxes: tuple[str, ...]
    enabled: bool
    created_at: datetime
    created_by: str | None


def add_webhook(
    engine: sa.Engine,
    name: str,
    url: str,
    *,
    mailboxes: Collection[str],
    secret: str | None,
    allow_http: bool,
    allowed_networks: Sequence[Network] = (),
    master_key: MasterKey | None = None,
    acting: Acting = BY_NOBODY_KNOWN,
) -> WebhookRow:
    """Add an enabled webhook for the account's mailboxes with these addresses; what arrives from now on is sent to it.

    Raises UnknownMailbox, or ValueError for an endpoint or a secret that cannot be used.
    """
    if not name.strip() or not mailboxes:
        raise ValueError("A webhook needs a name and at least one mailbox.")
    check_endpoint(url, allow_http=allow_http)
    address = literal_address(url)
    if address is not None and not is_allowed(address, allowed_networks):
        raise RefusedEndpoint(
            "The endpoint lies inside the network; that needs [gateway.webhooks] allowed_networks with its address."
        )
    if secret is not None and (not secret or not secret.isascii() or not secret.isprintable() or " " in secret):
        raise ValueError("The secret goes into a header: use printable ASCII characters without spaces, 16 or more.")
    webhook_id, now = str(uuid4()), datetime.now(UTC)
    with engine.begin() as connection:
        allowed = mailbox_ids(connection, acting.account_id, mailboxes)
        row = {
            "id": webhook_id,
            "account_id": acting.account_id,
            "name": name.strip(),
            "url": url,
            "sealed_secret": None if secret is None else _sealed(secret, webhook_id, master_key),
            "enabled": True,
            "by_rules": False,
            "include_text": False,
            "include_custom_fields": True,
            "schedule": "standard",
            "max_in_flight": 1,
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


def set_webhook_enabled(
    engine: sa.Engine, identifier: str, *, enabled: bool, account_id: str | None = None, actor: str = UNKNOWN_ACTOR
) -> WebhookRow:
    """Switch a webhook, given its id or name, on or off. Off, nothing new is sent and what waits is cancelled."""
    with engine.begin() as connection:
        row = _find(connection, identifier, account_id)
        if row.enabled == enabled:
            return row
        action = Action.WEBHOOK_ENABLED if enabled else Action.WEBHOOK_DISABLED
        _change(connection, row.webhook_id, actor, action, datetime.now(UTC), enabled=enabled)
        return replace(row, enabled=enabled)


def remove_webhook(
    engine: sa.Engine, identifier: str, *, account_id: str | None = None, actor: str = UNKNOWN_ACTOR
) -> WebhookRow:
    """Remove a webhook, given its id or name, and forget its secret; its delivery history stays."""
    now = datetime.now(UTC)
    with engine.begin() as connection:
        row = _find(connection, identifier, account_id)
        removed: dict[str, object] = {
            "enabled": False,
            "sealed_secret": None,
            "sealed_next_secret": None,
            "removed_at": now,
        }
        _change(connection, row.webhook_id, actor, Action.WEBHOOK_REMOVED, now, **removed)
        return row


def _sealed(secret: str, webhook_id: str, master_key: MasterKey | None) -> str:
    if master_key is None:
        raise ValueError(
            f"Secrets are stored sealed, which needs a master key: set {MASTER_KEY}, or {MASTER_KEY}_FILE to a file "
            "with it, here and for the gateway. Make one: satchel gateway master-key new"
        )
    return master_key.seal(secret, webhook_id)


def _find(connection: sa.Connection, identifier: str, account_id: str | None) -> WebhookRow:
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


def _change(
    connection: sa.Connection, webhook_id: str, actor: str, action: Action, now: datetime, **values: object
) -> None:
    update = sa.update(webhooks).where(webhooks.c.id == webhook_id).values(**values)
    account_id = connection.execute(update.returning(webhooks.c.account_id)).scalar_one()
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
            mailboxes=tuple(addresses[row.id]),
            enabled=row.enabled,
            created_at=row.created_at,
            created_by=row.created_by,
        )
        for row in found
    ]
