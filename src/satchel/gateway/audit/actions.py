"""What the audit trail tells of, and how it names who did it. Ids only."""

from enum import StrEnum

UNKNOWN_ACTOR = "unknown"
# What the gateway does by itself, such as taking up a mailbox that it finds at its source.
GATEWAY_ACTOR = "gateway"


class Action(StrEnum):
    """What happened. All but the last are acts of administration."""

    ACCOUNT_ADDED = "account.added"
    MAILBOX_ADDED = "mailbox.added"
    MAILBOX_CHANGED = "mailbox.changed"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    WEBHOOK_ADDED = "webhook.added"
    WEBHOOK_ENABLED = "webhook.enabled"
    WEBHOOK_DISABLED = "webhook.disabled"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_REKEYED = "webhook.rekeyed"
    WEBHOOK_RESEALED = "webhook.resealed"
    WEBHOOK_TESTED = "webhook.tested"
    WEBHOOK_PAUSED = "webhook.paused"
    WEBHOOK_RESUMED = "webhook.resumed"
    WEBHOOK_REMOVED = "webhook.removed"
    RULE_ADDED = "rule.added"
    RULE_CHANGED = "rule.changed"
    RULE_REMOVED = "rule.removed"
    DELIVERY_RESENT = "delivery.resent"
    CALL_REFUSED = "call.refused"

    @property
    def subject_kind(self) -> str:
        return self.value.partition(".")[0]


def key_actor(key_id: str | None) -> str:
    """An API key as an actor; None is one that nobody knows."""
    return UNKNOWN_ACTOR if key_id is None else f"key:{key_id}"


def command_actor(user_id: int) -> str:
    """Somebody at the command line, by the number of their user account."""
    return f"cli:{user_id}"
