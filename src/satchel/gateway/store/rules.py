"""Rules of mailboxes in the store: added, listed, changed, moved, switched and removed. What arrives next goes by
them."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import sqlalchemy as sa
import structlog

from satchel.gateway.audit.actions import UNKNOWN_ACTOR, Action
from satchel.gateway.rules.conditions import Conditions, as_stored
from satchel.gateway.rules.custom_fields import check_custom_fields
from satchel.gateway.rules.decision import Rule
from satchel.gateway.store.audit import BY_NOBODY_KNOWN, Acting, write_act
from satchel.gateway.store.mailboxes import mailbox_ids, normal_address
from satchel.gateway.store.tables import accounts, mailboxes, rules, webhooks
from satchel.gateway.store.webhooks import find_in
from satchel.gateway.text_bounds import clean

_MAX_RULES = 200
_MAX_NAME_CHARACTERS = 200

log = structlog.get_logger(__name__)


class UnknownRule(LookupError):
    """No rule has this id or name, or more than one has."""


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """What a rule is to be. `webhook` is the id or name of one of its account; without one it only stops."""

    name: str
    conditions: Conditions = field(default_factory=Conditions)
    webhook: str | None = None
    custom_fields: Mapping[str, str] = field(default_factory=dict)
    stop: bool = False


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule as it is shown; `account`, `mailbox` and `webhook` are names. Rules of a mailbox are tried in the order of
    `position`, from 1. `conditions` is None where they cannot be read: then it never fires."""

    rule_id: str
    account_id: str
    account: str
    mailbox_id: str
    mailbox: str
    name: str
    position: int
    conditions: Conditions | None
    webhook_id: str | None
    webhook: str | None
    custom_fields: Mapping[str, str]
    stop: bool
    enabled: bool
    created_at: datetime
    created_by: str | None

    def draft(self) -> RuleDraft:
        """What it is, as one would write it."""
        return RuleDraft(self.name, self.conditions or Conditions(), self.webhook_id, self.custom_fields, self.stop)


def add_rule(engine: sa.Engine, mailbox: str, draft: RuleDraft, *, acting: Acting = BY_NOBODY_KNOWN) -> RuleRow:
    """Add a rule of a mailbox behind its others; it is on.

    Raises UnknownMailbox, UnknownWebhook, or ValueError for a rule that could not do anything.
    """
    rule_id, now = str(uuid4()), datetime.now(UTC)
    with engine.begin() as connection:
        ((address, mailbox_id),) = mailbox_ids(connection, acting.account_id, [mailbox]).items()
        before = _ordered_ids(connection, mailbox_id)
        if len(before) >= _MAX_RULES:
            raise ValueError(f"A mailbox has {_MAX_RULES} rules at most. Put conditions that differ little into one.")
        row = {
            "id": rule_id,
            "account_id": acting.account_id,
            "mailbox_id": mailbox_id,
            "position": len(before) + 1,
            "enabled": True,
            "created_at": now,
            "created_by": acting.actor,
            **_values(connection, acting.account_id, address, draft),
        }
        connection.execute(sa.insert(rules), [row])
        write_act(connection, acting, Action.RULE_ADDED, rule_id, now)
        return _find(connection, rule_id, acting.account_id)


def list_rules(engine: sa.Engine, account_id: str | None = None, mailbox: str | None = None) -> Sequence[RuleRow]:
    """All rules, or those of one account or mailbox, each mailbox's in their order."""
    conditions = [] if account_id is None else [rules.c.account_id == account_id]
    if mailbox is not None:
        conditions.append(mailboxes.c.address == normal_address(mailbox))
    with engine.connect() as connection:
        return _rows(connection, *conditions)


def find_rule(engine: sa.Engine, identifier: str, account_id: str | None = None) -> RuleRow:
    """The rule with this id or name, in one account or in any. Raises UnknownRule."""
    with engine.connect() as connection:
        return _find(connection, identifier, account_id)


def change_rule(
    engine: sa.Engine,
    identifier: str,
    changes: Mapping[str, Any],
    *,
    account_id: str | None = None,
    actor: str = UNKNOWN_ACTOR,
) -> RuleRow:
    """Change the named fields of a rule's draft. Raises as `add_rule`, and UnknownRule."""
    with engine.begin() as connection:
        row = _find(connection, identifier, account_id)
        if row.conditions is None and "conditions" not in changes:
            raise ValueError("Its conditions cannot be read: name them anew, or remove the rule.")
        values = _values(connection, row.account_id, row.mailbox, replace(row.draft(), **changes))
        return _write(connection, row, actor, values)


def set_rule_enabled(
    engine: sa.Engine, identifier: str, *, enabled: bool, account_id: str | None = None, actor: str = UNKNOWN_ACTOR
) -> RuleRow:
    """Switch a rule on or off; off, it is as if it were not there. Raises UnknownRule."""
    with engine.begin() as connection:
        row = _find(connection, identifier, account_id)
        if row.enabled == enabled:
            return row
        return _write(connection, row, actor, {"enabled": enabled})


def move_rule(
    engine: sa.Engine, identifier: str, position: int, *, account_id: str | None = None, actor: str = UNKNOWN_ACTOR
) -> RuleRow:
    """Put a rule at a position among those of its mailbox, from 1; the last one where there are fewer. Raises
    UnknownRule."""
    with engine.begin() as connection:
        row = _find(connection, identifier, account_id)
        others = [each for each in _ordered_ids(connection, row.mailbox_id) if each != row.rule_id]
        others.insert(max(position, 1) - 1, row.rule_id)
        _number(connection, others)
        return _write(connection, row, actor, {})


def remove_rule(
    engine: sa.Engine, identifier: str, *, account_id: str | None = None, actor: str = UNKNOWN_ACTOR
) -> RuleRow:
    """Remove a rule; what it has announced stays in the history. Raises UnknownRule."""
    with engine.begin() as connection:
        row = _find(connection, identifier, account_id)
        connection.execute(sa.delete(rules).where(rules.c.id == row.rule_id))
        _number(connection, _ordered_ids(connection, row.mailbox_id))
        write_act(connection, Acting(row.account_id, actor), Action.RULE_REMOVED, row.rule_id, datetime.now(UTC))
        return row


def rules_in_force(engine: sa.Engine, account_id: str, addresses: Collection[str]) -> Mapping[str, Sequence[Rule]]:
    """The rules of these mailboxes that are on, by address, in the order in which they are tried."""
    columns = (rules.c.id, rules.c.conditions, rules.c.webhook_id, rules.c.custom_fields, rules.c.stop)
    query = sa.select(*columns, mailboxes.c.address).join_from(rules, mailboxes)
    is_wanted = sa.and_(mailboxes.c.account_id == account_id, mailboxes.c.address.in_(addresses), rules.c.enabled)
    found: dict[str, list[Rule]] = defaultdict(list)
    with engine.connect() as connection:
        for row in connection.execute(query.where(is_wanted).order_by(rules.c.position)):
            conditions = _conditions(row.conditions)
            if conditions is None:
                log.warning("rule_unreadable", rule_id=row.id)
            else:
                found[row.address].append(Rule(row.id, conditions, row.webhook_id, row.custom_fields, row.stop))
    return found


def _values(connection: sa.Connection, account_id: str, mailbox: str, draft: RuleDraft) -> dict[str, Any]:
    """The columns that a draft fills. Raises ValueError, UnknownWebhook."""
    name = draft.name.strip()
    if not name or len(name) > _MAX_NAME_CHARACTERS or clean(name) != name:
        raise ValueError(f"A rule needs a name of 1 to {_MAX_NAME_CHARACTERS} characters.")
    webhook_id = _webhook_id(connection, account_id, mailbox, draft.webhook) if draft.webhook else None
    if webhook_id is None and not draft.stop:
        raise ValueError("The rule would do nothing: name the webhook that it tells, or let it stop the others.")
    if webhook_id is None and draft.custom_fields:
        raise ValueError("The rule tells no webhook, so nobody would see its custom fields.")
    check_custom_fields(draft.custom_fields)
    return {
        "name": name,
        "conditions": as_stored(draft.conditions),
        "webhook_id": webhook_id,
        "custom_fields": dict(draft.custom_fields),
        "stop": draft.stop,
    }


def _webhook_id(connection: sa.Connection, account_id: str, mailbox: str, identifier: str) -> str:
    webhook = find_in(connection, identifier, account_id)
    if not webhook.by_rules:
        raise ValueError(
            f"The webhook {webhook.name!r} is told of everything, so a rule would change nothing. "
            f"Let rules decide: satchel gateway webhooks change {webhook.webhook_id} --by-rules"
        )
    if mailbox not in webhook.mailboxes:
        raise ValueError(
            f"The webhook {webhook.name!r} is not for {mailbox}. "
            f"Allow it: satchel gateway webhooks change {webhook.webhook_id} --add-mailbox {mailbox}"
        )
    return webhook.webhook_id


def _conditions(stored: object) -> Conditions | None:
    """None for those of a later version, or written by hand: one such rule must not keep mail from being taken in."""
    try:
        return msgspec.convert(stored, Conditions)
    except ValueError:
        return None


def _write(connection: sa.Connection, row: RuleRow, actor: str, values: Mapping[str, Any]) -> RuleRow:
    if values:
        connection.execute(sa.update(rules).where(rules.c.id == row.rule_id).values(**values))
    write_act(connection, Acting(row.account_id, actor), Action.RULE_CHANGED, row.rule_id, datetime.now(UTC))
    return _find(connection, row.rule_id, row.account_id)


def _ordered_ids(connection: sa.Connection, mailbox_id: str) -> list[str]:
    query = sa.select(rules.c.id).where(rules.c.mailbox_id == mailbox_id)
    return list(connection.scalars(query.order_by(rules.c.position, rules.c.created_at)))


def _number(connection: sa.Connection, rule_ids: Sequence[str]) -> None:
    if rule_ids:
        positions = [{"of_id": rule_id, "at": position} for position, rule_id in enumerate(rule_ids, 1)]
        update = sa.update(rules).where(rules.c.id == sa.bindparam("of_id"))
        connection.execute(update.values(position=sa.bindparam("at")), positions)


def _find(connection: sa.Connection, identifier: str, account_id: str | None) -> RuleRow:
    conditions = [sa.or_(rules.c.id == identifier, rules.c.name == identifier)]
    if account_id is not None:
        conditions.append(rules.c.account_id == account_id)
    found = _rows(connection, *conditions)
    if len(found) != 1:
        raise UnknownRule(
            f"{len(found) or 'No'} rules are called {identifier!r}. Name one by its id: satchel gateway rules list"
        )
    return found[0]


def _rows(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[RuleRow]:
    query = (
        sa.select(
            rules,
            accounts.c.name.label("account"),
            mailboxes.c.address.label("mailbox"),
            webhooks.c.name.label("webhook"),
        )
        .join_from(rules, accounts)
        .join(mailboxes, mailboxes.c.id == rules.c.mailbox_id)
        .join(webhooks, webhooks.c.id == rules.c.webhook_id, isouter=True)
        .where(*conditions)
        .order_by(mailboxes.c.address, rules.c.account_id, rules.c.position)
    )
    return [
        RuleRow(
            rule_id=row.id,
            account_id=row.account_id,
            account=row.account,
            mailbox_id=row.mailbox_id,
            mailbox=row.mailbox,
            name=row.name,
            position=row.position,
            conditions=_conditions(row.conditions),
            webhook_id=row.webhook_id,
            webhook=row.webhook,
            custom_fields=row.custom_fields,
            stop=row.stop,
            enabled=row.enabled,
            created_at=row.created_at,
            created_by=row.created_by,
        )
        for row in connection.execute(query)
    ]
