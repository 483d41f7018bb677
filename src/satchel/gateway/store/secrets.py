"""Webhook secrets in the store, always sealed: given, changed over to the next one, and sealed anew.

While a secret is changed there are two: both sign, the first is the Bearer token.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from satchel.gateway.audit.actions import UNKNOWN_ACTOR, Action
from satchel.gateway.sealing import MASTER_KEY, MasterKey, SealingError, seal_secret
from satchel.gateway.store.audit import Acting, write_acts
from satchel.gateway.store.tables import webhooks
from satchel.gateway.store.webhooks import WebhookRow, find_in, write_change

_SHOWN = 3


class NoRotation(ValueError):
    """The webhook's secret is not being changed, or it is already, or there is none; the message says what to do."""


@dataclass(frozen=True, slots=True)
class UnreadableSecret:
    """A sealed secret that the master key does not open, and why."""

    webhook_id: str
    account_id: str
    why: str


@dataclass(frozen=True, slots=True)
class SealedSecrets:
    """How many secrets there are, how many of them the first of the master keys has sealed, and which do not open."""

    count: int
    by_first_key: int
    unreadable: Sequence[UnreadableSecret]


def set_secret(
    engine: sa.Engine,
    identifier: str,
    secret: str | None,
    *,
    master_key: MasterKey | None,
    account_id: str | None = None,
    actor: str = UNKNOWN_ACTOR,
) -> WebhookRow:
    """Give a webhook this secret, or none, from the next attempt on; a change that is under way ends with it."""
    with engine.begin() as connection:
        row = find_in(connection, identifier, account_id)
        sealed = None if secret is None else seal_secret(secret, row.webhook_id, master_key)
        return _write(connection, row, actor, sealed_secret=sealed, sealed_next_secret=None)


def rotate_secret(
    engine: sa.Engine,
    identifier: str,
    next_secret: str,
    *,
    master_key: MasterKey | None,
    account_id: str | None = None,
    actor: str = UNKNOWN_ACTOR,
) -> WebhookRow:
    """Begin to change a webhook's secret: the next one signs too, and the old one stays the Bearer token.

    Raises NoRotation, or SealingError where the old one does not open.
    """
    with engine.begin() as connection:
        row = find_in(connection, identifier, account_id)
        if not row.has_secret:
            raise NoRotation(
                f"{row.name!r} has no secret to be changed. Give it one: satchel gateway webhooks secret set"
            )
        if row.has_next_secret:
            raise NoRotation(
                f"The secret of {row.name!r} is being changed already. End that first: "
                "satchel gateway webhooks secret finish, or cancel"
            )
        sealed = seal_secret(next_secret, row.webhook_id, master_key)
        if next_secret in open_secrets(connection, row.webhook_id, master_key):
            raise NoRotation(f"That is the secret that {row.name!r} has. Name another, or none and it is made.")
        return _write(connection, row, actor, sealed_next_secret=sealed)


def finish_rotation(
    engine: sa.Engine, identifier: str, *, account_id: str | None = None, actor: str = UNKNOWN_ACTOR
) -> WebhookRow:
    """The next secret takes the place of the old one, which is forgotten."""
    with engine.begin() as connection:
        row = _rotating(connection, identifier, account_id)
        taken: dict[str, object] = {"sealed_secret": webhooks.c.sealed_next_secret, "sealed_next_secret": None}
        return _write(connection, row, actor, **taken)


def cancel_rotation(
    engine: sa.Engine, identifier: str, *, account_id: str | None = None, actor: str = UNKNOWN_ACTOR
) -> WebhookRow:
    """The secret stays as it is, and the next one is forgotten."""
    with engine.begin() as connection:
        return _write(connection, _rotating(connection, identifier, account_id), actor, sealed_next_secret=None)


def open_secrets(connection: sa.Connection, webhook_id: str, master_key: MasterKey | None) -> tuple[str, ...]:
    """What a webhook is called with: its secret, and behind it the next one, if there are any. Raises SealingError."""
    return tuple(_open(one, master_key) for one in list(_sealed(connection)) if one.webhook_id == webhook_id)


def look_at_secrets(engine: sa.Engine, master_key: MasterKey | None, account_id: str | None = None) -> SealedSecrets:
    """Try to open every secret, of one account or of all."""
    with engine.connect() as connection:
        found = [one for one in _sealed(connection) if account_id in {None, one.account_id}]
    unreadable = []
    for one in found:
        try:
            _open(one, master_key)
        except SealingError as error:
            unreadable.append(UnreadableSecret(one.webhook_id, one.account_id, str(error)))
    by_first = 0 if master_key is None else sum(master_key.seals(one.text) for one in found)
    return SealedSecrets(len(found), by_first, unreadable)


def unreadable_secrets(engine: sa.Engine, master_key: MasterKey | None) -> Sequence[UnreadableSecret]:
    """The secrets that this master key does not open: nothing can be sent to their webhooks."""
    return look_at_secrets(engine, master_key).unreadable


def advice_on(unreadable: Sequence[UnreadableSecret]) -> str:
    """What to do about secrets that cannot be opened, one at least."""
    ids = list(dict.fromkeys(one.webhook_id for one in unreadable))
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return (
        f"The secret of {len(ids)} webhook{'s' if len(ids) > 1 else ''} cannot be opened "
        f"({', '.join(ids[:_SHOWN])}{more}). {unreadable[0].why} If the key is lost, give each a new secret, here and "
        "at its receiver: satchel gateway webhooks secret set"
    )


def reseal(engine: sa.Engine, master_key: MasterKey, *, actor: str) -> int:
    """Seal with the first of the master keys what another of them has sealed; how many secrets that were.

    All or none: raises SealingError, with advice, where one does not open.
    """
    unreadable = unreadable_secrets(engine, master_key)
    if unreadable:
        raise SealingError(advice_on(unreadable))
    now, resealed = datetime.now(UTC), 0
    with engine.begin() as connection:
        for one in list(_sealed(connection)):
            if master_key.seals(one.text):
                continue
            text = master_key.seal(_open(one, master_key), one.webhook_id)
            # One that was changed meanwhile is as its change has left it.
            same = (webhooks.c.id == one.webhook_id, webhooks.c[one.column] == one.text)
            if connection.execute(sa.update(webhooks).where(*same).values({one.column: text})).rowcount:
                write_acts(connection, Acting(one.account_id, actor), Action.WEBHOOK_RESEALED, [one.webhook_id], now)
                resealed += 1
    return resealed


@dataclass(frozen=True, slots=True)
class _Sealed:
    webhook_id: str
    account_id: str
    column: str
    text: str


def _sealed(connection: sa.Connection) -> Iterator[_Sealed]:
    query = sa.select(
        webhooks.c.id, webhooks.c.account_id, webhooks.c.sealed_secret, webhooks.c.sealed_next_secret
    ).where(webhooks.c.removed_at.is_(None))
    for row in connection.execute(query.order_by(webhooks.c.created_at)).all():
        for column in ("sealed_secret", "sealed_next_secret"):
            text = getattr(row, column)
            if text is not None:
                yield _Sealed(row.id, row.account_id, column, text)


def _open(one: _Sealed, master_key: MasterKey | None) -> str:
    if master_key is None:
        raise SealingError(
            f"There is no master key: set {MASTER_KEY}, or {MASTER_KEY}_FILE to a file with it, to the one that the "
            "secrets were sealed with."
        )
    return master_key.unseal(one.text, one.webhook_id)


def _rotating(connection: sa.Connection, identifier: str, account_id: str | None) -> WebhookRow:
    row = find_in(connection, identifier, account_id)
    if not row.has_next_secret:
        raise NoRotation(
            f"The secret of {row.name!r} is not being changed. Begin: satchel gateway webhooks secret rotate"
        )
    return row


def _write(connection: sa.Connection, row: WebhookRow, actor: str, **values: object) -> WebhookRow:
    write_change(connection, row.webhook_id, actor, Action.WEBHOOK_REKEYED, datetime.now(UTC), **values)
    return find_in(connection, row.webhook_id)
