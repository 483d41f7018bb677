"""The audit trail in the store: what administrators did and which calls were refused, by ids and counts only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from satchel.gateway.audit.actions import UNKNOWN_ACTOR, Action, key_actor
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, accounts, api_keys, audit_events


@dataclass(frozen=True, slots=True)
class Acting:
    """Who does something, and in which account."""

    account_id: str = DEFAULT_ACCOUNT_ID
    actor: str = UNKNOWN_ACTOR


BY_NOBODY_KNOWN = Acting()


@dataclass(frozen=True, slots=True)
class RefusedCalls:
    """Calls of one key (None: of no known one) that one route refused for one reason, since they were last written."""

    key_id: str | None
    account_id: str | None
    route: str | None
    reason: str | None
    status: int | None
    first_request_id: str | None
    count: int


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """A row of the trail; `account` is the account's name."""

    event_id: int
    at: datetime
    account: str | None
    actor: str
    action: str
    subject_kind: str | None
    subject_id: str | None
    route: str | None
    reason: str | None
    status: int | None
    request_id: str | None
    count: int


def write_act(connection: sa.Connection, acting: Acting, action: Action, subject_id: str, at: datetime) -> None:
    """Write down an act of administration, in the transaction that does it."""
    write_acts(connection, acting, action, [subject_id], at)


def write_acts(
    connection: sa.Connection, acting: Acting, action: Action, subject_ids: Sequence[str], at: datetime
) -> None:
    """As `write_act`, for several subjects of one kind."""
    rows = [
        {
            "at": at,
            "account_id": acting.account_id,
            "actor": acting.actor,
            "action": action.value,
            "subject_kind": action.subject_kind,
            "subject_id": subject_id,
            "count": 1,
        }
        for subject_id in subject_ids
    ]
    if rows:
        connection.execute(sa.insert(audit_events), rows)


def record_calls(
    engine: sa.Engine, refused: Sequence[RefusedCalls], used_at: Mapping[str, datetime], now: datetime
) -> None:
    """Write down refused calls, and when keys (by id) were last used, in one transaction."""
    with engine.begin() as connection:
        if refused:
            connection.execute(sa.insert(audit_events), [_refused_row(one, now) for one in refused])
        if used_at:
            # Several processes may write for one key, and not in the order in which they were called.
            is_older = sa.or_(
                api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < sa.bindparam("at", type_=_INSTANT)
            )
            update = sa.update(api_keys).where(api_keys.c.id == sa.bindparam("key"), is_older)
            connection.execute(
                update.values(last_used_at=sa.bindparam("at", type_=_INSTANT)),
                [{"key": key_id, "at": at} for key_id, at in used_at.items()],
            )


def list_events(
    engine: sa.Engine,
    *,
    since: datetime | None = None,
    account_id: str | None = None,
    action: str | None = None,
    key_id: str | None = None,
    limit: int | None = None,
) -> Sequence[AuditEvent]:
    """The newest events that fit, the newest last. A key's are those of its calls and those about it."""
    conditions: list[sa.ColumnElement[bool]] = []
    if since is not None:
        conditions.append(audit_events.c.at >= since)
    if account_id is not None:
        conditions.append(audit_events.c.account_id == account_id)
    if action is not None:
        conditions.append(audit_events.c.action == action)
    if key_id is not None:
        conditions.append(sa.or_(audit_events.c.actor == key_actor(key_id), audit_events.c.subject_id == key_id))
    with engine.connect() as connection:
        found = connection.execute(_EVENTS.where(*conditions).order_by(audit_events.c.id.desc()).limit(limit)).all()
    return [AuditEvent(*row) for row in reversed(found)]


def remove_events(engine: sa.Engine, before: datetime, limit: int) -> int:
    """Remove the oldest events from before an instant, so many at most; how many it were."""
    oldest = sa.select(audit_events.c.id).where(audit_events.c.at < before).order_by(audit_events.c.at).limit(limit)
    with engine.begin() as connection:
        return connection.execute(sa.delete(audit_events).where(audit_events.c.id.in_(oldest))).rowcount


def _refused_row(one: RefusedCalls, now: datetime) -> dict[str, Any]:
    return {
        "at": now,
        "account_id": one.account_id,
        "actor": key_actor(one.key_id),
        "action": Action.CALL_REFUSED.value,
        "route": one.route,
        "reason": one.reason,
        "status": one.status,
        "request_id": one.first_request_id,
        "count": one.count,
    }


_INSTANT = api_keys.c.last_used_at.type
_EVENTS = sa.select(
    audit_events.c.id,
    audit_events.c.at,
    accounts.c.name,
    audit_events.c.actor,
    audit_events.c.action,
    audit_events.c.subject_kind,
    audit_events.c.subject_id,
    audit_events.c.route,
    audit_events.c.reason,
    audit_events.c.status,
    audit_events.c.request_id,
    audit_events.c.count,
).join_from(audit_events, accounts, isouter=True)
