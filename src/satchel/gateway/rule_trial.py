"""Tries the rules of a mailbox on a message of the index: which would fire, why, and which webhooks would be told.

Changes nothing. What it says is what happens to a message that arrives now and is like this one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from satchel.contract.attachments import Attachment
from satchel.gateway.rules.decision import Finding, Firing, Rule, RuledMessage, explain, firings
from satchel.gateway.settings import AccountSettings
from satchel.gateway.sources import GraphCounts, account_source
from satchel.gateway.store.database import Store
from satchel.gateway.store.envelopes import IndexedMessage, find_message
from satchel.gateway.store.rules import RuleRow, list_rules
from satchel.gateway.store.webhooks import WebhookRow, list_webhooks
from satchel.mail.source import SourceError

_SOURCE_SECONDS = 60.0


class Outcome(StrEnum):
    """What a rule does."""

    FIRES = "fires"
    STOPS = "stops"
    REPEATS = "repeats"
    DOES_NOT_HOLD = "does_not_hold"
    NOT_TRIED = "not_tried"
    OFF = "off"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class TriedRule:
    """A rule, what it does, and what each of its conditions says. `stopped_here`: none behind it is tried."""

    rule_id: str
    name: str
    position: int
    outcome: Outcome
    stopped_here: bool
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class ToldWebhook:
    """A webhook that would be told: of everything, or by a rule. `waits`: it is paused, so it is told later."""

    webhook_id: str
    name: str
    rule_id: str | None
    custom_fields: Mapping[str, str] | None
    waits: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """What would become of the message. `webhooks_off` are names of those that would be told too if they were on;
    `note` says what could not be found out."""

    message_id: str
    account: str
    mailbox: str
    rules: tuple[TriedRule, ...]
    webhooks: tuple[ToldWebhook, ...]
    webhooks_off: tuple[str, ...] = ()
    note: str | None = None


async def try_rules(
    engine: sa.Engine, accounts: Mapping[str, AccountSettings], message_id: str, account_id: str | None = None
) -> Trial:
    """Try all rules of the message's mailbox. `accounts` are those of the settings by name: the mail source is asked
    for attachments where a rule's conditions speak of them.

    Raises UnknownMessage, ValueError for a message whose envelope could not be read, SettingsError.
    """
    message = find_message(engine, message_id, account_id)
    if message.ruled is None:
        raise ValueError("The message's envelope could not be read, so it is in the index only and never announced.")
    rows = [row for row in list_rules(engine, message.account_id) if row.mailbox == message.ref.mailbox]
    attachments, note = None, None
    if any(row.enabled and row.conditions is not None and row.conditions.attachments is not None for row in rows):
        attachments, note = await _attachments(engine, accounts, message)
    webhooks = [row for row in list_webhooks(engine, message.account_id) if message.ref.mailbox in row.mailboxes]
    fired = firings(_in_force(rows), message.ruled, attachments)
    return Trial(
        message_id=message_id,
        account=message.account,
        mailbox=message.ref.mailbox,
        rules=tried(rows, message.ruled, attachments),
        webhooks=told([row for row in webhooks if row.enabled], fired),
        webhooks_off=tuple(each.name for each in told([row for row in webhooks if not row.enabled], fired)),
        note=note,
    )


def tried(
    rows: Sequence[RuleRow], message: RuledMessage, attachments: Sequence[Attachment] | None
) -> tuple[TriedRule, ...]:
    """What each of a mailbox's rules does, also those that are off or are not come to."""
    found: list[TriedRule] = []
    stopped, fired = False, set[str]()
    for row in rows:
        outcome, findings, stops_here = Outcome.UNREADABLE, tuple[Finding, ...](), False
        rule = _rule(row)
        if rule is not None:
            explained = explain(rule, message, attachments)
            findings = explained.findings
            outcome = _outcome(row, explained.holds, stopped, fired)
            stops_here = row.stop and outcome in {Outcome.FIRES, Outcome.STOPS, Outcome.REPEATS}
        if outcome is Outcome.FIRES and row.webhook_id is not None:
            fired.add(row.webhook_id)
        stopped = stopped or stops_here
        found.append(TriedRule(row.rule_id, row.name, row.position, outcome, stops_here, findings))
    return tuple(found)


def told(webhooks: Sequence[WebhookRow], fired: Sequence[Firing]) -> tuple[ToldWebhook, ...]:
    """Of a mailbox's webhooks those that would be told, if they are on."""
    by_webhook = {firing.webhook_id: firing for firing in fired}
    found: list[ToldWebhook] = []
    for row in webhooks:
        firing = by_webhook.get(row.webhook_id) if row.by_rules else None
        if firing is not None or not row.by_rules:
            fields = firing.custom_fields if firing is not None and row.include_custom_fields else None
            rule_id = None if firing is None else firing.rule_id
            found.append(ToldWebhook(row.webhook_id, row.name, rule_id, fields or None, row.paused_at is not None))
    return tuple(found)


def _outcome(row: RuleRow, holds: bool, stopped: bool, fired: set[str]) -> Outcome:
    if not row.enabled:
        return Outcome.OFF
    if stopped:
        return Outcome.NOT_TRIED
    if not holds:
        return Outcome.DOES_NOT_HOLD
    if row.webhook_id is None:
        return Outcome.STOPS
    return Outcome.REPEATS if row.webhook_id in fired else Outcome.FIRES


def _in_force(rows: Sequence[RuleRow]) -> list[Rule]:
    return [rule for row in rows if row.enabled and (rule := _rule(row)) is not None]


def _rule(row: RuleRow) -> Rule | None:
    if row.conditions is None:
        return None
    return Rule(row.rule_id, row.conditions, row.webhook_id, row.custom_fields, row.stop)


async def _attachments(
    engine: sa.Engine, accounts: Mapping[str, AccountSettings], message: IndexedMessage
) -> tuple[Sequence[Attachment] | None, str | None]:
    """The message's attachments, or why there are none to be seen."""
    account = accounts.get(message.account)
    if account is None:
        return None, "Its attachments are not looked at: the settings name its account no more."
    source = account_source(message.account_id, account, Store(engine, 1), GraphCounts())
    async with aclosing(source):
        try:
            async with asyncio.timeout(_SOURCE_SECONDS):
                return await source.list(message.ref), None
        except TimeoutError:
            return None, f"The mail source says nothing about its attachments within {_SOURCE_SECONDS:g} s."
        except SourceError as error:
            again = " At its arrival this would be tried again." if error.transient else ""
            return None, f"Its attachments cannot be read: {error}{again}"
