"""Rules and messages to try them on."""

from typing import Any

from satchel.contract.attachments import Attachment
from satchel.gateway.rules.conditions import Conditions
from satchel.gateway.rules.decision import Rule, RuledMessage
from tests.unit.gateway.fakes import attachment


def ruled(**changes: Any) -> RuledMessage:
    values: dict[str, Any] = {
        "senders": ("ann@supplier.example",),
        "recipients": ("invoices@example.test",),
        "subject": "Invoice 42",
        "has_attachments": True,
    }
    return RuledMessage(**values | changes)


def rule(rule_id: str = "r", webhook_id: str | None = "w", *, stop: bool = False, **conditions: Any) -> Rule:
    return Rule(rule_id, Conditions(**conditions), webhook_id, {"rule": rule_id}, stop)


def pdf(size: int = 1_000, **changes: Any) -> Attachment:
    return attachment("a", **{"size": size} | changes)
