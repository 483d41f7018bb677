"""Webhook definitions in the store: added, listed, enabled, disabled, removed. Changes take effect at once."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa

from satchel.gateway.store.mailboxes import mailbox_ids
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, mailboxes, webhook_mailboxes, webhooks
from satchel.gateway.webhooks.egress import RefusedEndpoint, check_endpoint, is_public, literal_address


class UnknownWebhook(LookupError):
    """No webhook has this id or name, or more than one has."""


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook as it is shown: whether it has a secret, but not which."""

    webhook_id: str
    name: str
    url: str
    has_secret: bool
    mailboxes: tuple[str, ...]
    enabled: bool
    created_at: datetime


def add_webhook(
    engine: sa.Engine,
    name: str,
    url: str,
    *,
    mailboxes: Collection[str],
    secret: str | None,
    allow_http: bool,
    allow_private_addresses: bool = False,
) -> WebhookRow:
    """Add an enabled webhook for the mailboxes with these addresses; what arrives from now on is sent to it.

    Raises UnknownMailbox, or ValueError for an endpoint or a secret that cannot be used.
    """
    if not name.strip() or not mailboxes:
        raise ValueError("A webhook needs a name and at least one mailbox.")
    check_endpoint(url, allow_http=allow_http)
    address = literal_address(url)
    if address is not None and not allow_private_addresses and not is_public(address):
        raise RefusedEndpoint(
            "The endpoint lies inside the network; that needs [gateway.webhooks] allow_private_addresses = true."
        )
    if secret is not None and (not secret or not secret.isascii() or not secret.isprintable() or " " in secret):
        raise ValueError("The secret goes into a header: use printable ASCII characters without spaces, 16 or more.")
    webhook_id = str(uuid4())
    with engine.begin() as connection:
        allowed = mailbox_ids(connection, mailboxes)
        row = {
            "id": webhook_id,
            "account_id": DEFAULT_ACCOUNT_ID,
            "name": name.strip(),
            "url": url,
            "secret": secret,
            "enabled": True,
            "created_at": datetime.now(UTC),
        }
        connection.execute(sa.insert(webhooks), [row])
        connection.execute(
            sa.insert(webhook_mailboxes),
            [{"webhook_id": webhook_id, "mailbox_id": mailbox_id} for mailbox_id in allowed.values()],
        )
        return _rows(connection, webhooks.c.id == webhook_id)[0]


def list_webhooks(engine: sa.Engine) -> Sequence[WebhookRow]:
    """All webhooks that were not removed, oldest first."""
    with engine.connect() as connection:
        return _rows(connection, sa.true())


def set_webhook_enabled(engine: sa.Engine, identifier: str, *, enabled: bool) -> WebhookRow:
    """Switch a webhook, given its id or name, on or off. Off, nothing new is sent and what waits is cancelled."""
    return _change(engine, identifier, {"enabled": enabled})


def remove_webhook(engine: sa.Engine, identifier: str) -> WebhookRow:
    """Remove a webhook, given its id or name, and forget its secret; its delivery history stays."""
    return _change(engine, identifier, {"enabled": False, "secret": None, "removed_at": datetime.now(UTC)})


def _change(engine: sa.Engine, identifier: str, values: dict[str, object]) -> WebhookRow:
    """Raises UnknownWebhook."""
    with engine.begin() as connection:
        found = _rows(connection, sa.or_(webhooks.c.id == identifier, webhooks.c.name == identifier))
        if len(found) != 1:
            raise UnknownWebhook(
                f"{len(found) or 'No'} webhooks are called {identifier!r}. "
                "Name one by its id: satchel gateway webhooks list"
            )
        row = found[0]
        connection.execute(sa.update(webhooks).where(webhooks.c.id == row.webhook_id).values(**values))
        changed = _rows(connection, webhooks.c.id == row.webhook_id)
        return changed[0] if changed else row


def _rows(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[WebhookRow]:
    query = sa.select(webhooks).where(condition, webhooks.c.removed_at.is_(None)).order_by(webhooks.c.created_at)
    found = connection.execute(query).all()
    addresses: dict[str, list[str]] = defaultdict(list)
    joined = sa.select(webhook_mailboxes.c.webhook_id, mailboxes.c.address).join_from(webhook_mailboxes, mailboxes)
    for webhook_id, address in connection.execute(joined.order_by(mailboxes.c.address)):
        addresses[webhook_id].append(address)
    return [
        WebhookRow(
            webhook_id=row.id,
            name=row.name,
            url=row.url,
            has_secret=row.secret is not None,
            mailboxes=tuple(addresses[row.id]),
            enabled=row.enabled,
            created_at=row.created_at,
        )
        for row in found
    ]
