"""The gateway's tables: accounts, mailboxes, keys, message index (metadata only), webhooks, deliveries, audit trail.

No table holds mail content. Webhook secrets stand there sealed with the master key, and keys as their hashes; what
else there is are names and addresses, so the file belongs to its owner alone (0600, in a folder of 0700).
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

DEFAULT_ACCOUNT_ID = "00000000-0000-4000-8000-000000000001"
_ID = sa.String(36)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant in UTC, on every database; refuses naive ones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a time zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

mailboxes = sa.Table(
    "mailboxes",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("account_id", _ID, sa.ForeignKey("accounts.id"), nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("time_zone", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    # Set at the end of the first full pass: what was there before is indexed, and never announced.
    sa.Column("indexed_at", UtcDateTime),
    sa.Column("created_by", sa.Text),
    sa.UniqueConstraint("account_id", "address"),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("account_id", _ID, sa.ForeignKey("accounts.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("short_identifier", sa.Text, nullable=False),
    sa.Column("key_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("revoked_at", UtcDateTime),
    # As the audit trail names an actor; unknown for what was made before there was one. So for mailboxes and webhooks.
    sa.Column("created_by", sa.Text),
    # Written from time to time, so a few seconds late.
    sa.Column("last_used_at", UtcDateTime),
)

api_key_mailboxes = sa.Table(
    "api_key_mailboxes",
    metadata,
    sa.Column("key_id", _ID, sa.ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("mailbox_id", _ID, sa.ForeignKey("mailboxes.id"), primary_key=True),
)

messages = sa.Table(
    "messages",
    metadata,
    # Increases with every message and is never used again: the cursor of reports.
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("message_id", sa.Text, nullable=False),
    sa.Column("mailbox_id", _ID, sa.ForeignKey("mailboxes.id"), nullable=False),
    sa.Column("locator", sa.Text, nullable=False),
    sa.Column("internet_message_id", sa.Text, nullable=False),
    sa.Column("conversation_id", sa.Text, nullable=False),
    sa.Column("received", UtcDateTime, nullable=False),
    sa.Column("sender", sa.JSON, nullable=False),
    sa.Column("from", sa.JSON, nullable=False, key="from_"),
    sa.Column("to", sa.JSON, nullable=False),
    sa.Column("cc", sa.JSON, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("has_attachments", sa.Boolean, nullable=False),
    # False where the source could not read the envelope: the row keeps the id known and is never announced.
    sa.Column("readable", sa.Boolean, nullable=False),
    sa.Column("indexed_at", UtcDateTime, nullable=False),
    # False where it was indexed as the past: the watch has not come to it, and to the watch it is new.
    sa.Column("watched", sa.Boolean, nullable=False, server_default=sa.true()),
    # Ids are unique by themselves; the mailbox stands in the index so that `calls.find_calls` touches no other's row.
    sa.UniqueConstraint("message_id", "mailbox_id"),
    sqlite_autoincrement=True,
)
# Reports: how many there are in a time, and the pages of them. Both tell without a look at the table.
_OF_MESSAGES = messages.c
_READABLE = messages.c.readable.is_(True)
for _order in ((_OF_MESSAGES.received, _OF_MESSAGES.id), (_OF_MESSAGES.id, _OF_MESSAGES.received)):
    sa.Index(None, _OF_MESSAGES.mailbox_id, *_order, sqlite_where=_READABLE, postgresql_where=_READABLE)

webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("account_id", _ID, sa.ForeignKey("accounts.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    # Sealed with the master key, the webhook's id being the context. The next one signs too, and takes its place.
    sa.Column("sealed_secret", sa.Text),
    sa.Column("sealed_next_secret", sa.Text),
    sa.Column("enabled", sa.Boolean, nullable=False),
    # Told of what a rule says only, or else of everything.
    sa.Column("by_rules", sa.Boolean, nullable=False),
    sa.Column("include_text", sa.Boolean, nullable=False),
    sa.Column("include_custom_fields", sa.Boolean, nullable=False),
    sa.Column("schedule", sa.String(16), nullable=False),
    # Deliveries of one mailbox that may be under way at once; with 1 they keep their order.
    sa.Column("max_in_flight", sa.Integer, nullable=False),
    # Since when no attempt has been answered with 200, and how many such attempts there were.
    sa.Column("failing_since", UtcDateTime),
    sa.Column("failed_attempts", sa.Integer, nullable=False),
    # While it is paused nothing is sent, and what is for it waits.
    sa.Column("paused_at", UtcDateTime),
    sa.Column("pause_note", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    # Removed webhooks stay for the sake of their delivery history.
    sa.Column("removed_at", UtcDateTime),
    sa.Column("created_by", sa.Text),
)

webhook_mailboxes = sa.Table(
    "webhook_mailboxes",
    metadata,
    sa.Column("webhook_id", _ID, sa.ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("mailbox_id", _ID, sa.ForeignKey("mailboxes.id"), primary_key=True),
)

rules = sa.Table(
    "rules",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("account_id", _ID, sa.ForeignKey("accounts.id"), nullable=False),
    sa.Column("mailbox_id", _ID, sa.ForeignKey("mailboxes.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    # Rules of a mailbox are tried in this order.
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("conditions", sa.JSON, nullable=False),
    # None: a rule that only keeps those behind it from being tried.
    sa.Column("webhook_id", _ID, sa.ForeignKey("webhooks.id")),
    sa.Column("custom_fields", sa.JSON, nullable=False),
    sa.Column("stop", sa.Boolean, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("created_by", sa.Text),
    sa.Index(None, "mailbox_id", "position"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("webhook_id", _ID, sa.ForeignKey("webhooks.id"), nullable=False),
    # The message's. With the webhook it is the lane in which deliveries follow each other.
    sa.Column("mailbox_id", _ID, sa.ForeignKey("mailboxes.id"), nullable=False),
    # The rule that fired, which may be gone by now, and what it had to add.
    sa.Column("rule_id", _ID),
    sa.Column("custom_fields", sa.JSON),
    sa.Column("message_row_id", sa.ForeignKey("messages.id"), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    # Attempts whose outcome is known. One that was cut off by a stop of the gateway itself is not among them.
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("next_attempt_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("last_status_code", sa.Integer),
    sa.Column("last_error", sa.Text),
    sa.Column("last_answer", sa.Text),
    # Since when an attempt waits for the message's text, which the mail server does not give just now.
    sa.Column("text_missing_since", UtcDateTime),
    sa.UniqueConstraint("webhook_id", "message_row_id"),
    sa.Index(None, "status", "created_at"),
    # A lane's next is found in it alone, however many others have to be passed.
    sa.Index(
        "ix_deliveries_lane", "webhook_id", "mailbox_id", "status", "message_row_id", "attempts", "next_attempt_at"
    ),
    sa.Index(None, "created_at"),
    sa.Index(None, "finished_at"),
)

delivery_lanes = sa.Table(
    "delivery_lanes",
    metadata,
    sa.Column("webhook_id", _ID, sa.ForeignKey("webhooks.id"), primary_key=True),
    sa.Column("mailbox_id", _ID, sa.ForeignKey("mailboxes.id"), primary_key=True),
    # The number of the run that is under way or comes next. One that has ended never comes again.
    sa.Column("run", sa.Integer, nullable=False),
    # When somebody has to look. Set in the transaction that gives the lane something to do; None: nothing waits.
    sa.Column("due_at", UtcDateTime, index=True),
)

delivery_attempts = sa.Table(
    "delivery_attempts",
    metadata,
    sa.Column("delivery_id", _ID, sa.ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("status_code", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("answer", sa.Text),
)

# A report that was asked for. Its rows are those of the index between two of them: nothing is copied.
report_runs = sa.Table(
    "report_runs",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("account_id", _ID, sa.ForeignKey("accounts.id"), nullable=False),
    sa.Column("key_id", _ID, sa.ForeignKey("api_keys.id"), nullable=False),
    sa.Column("mailbox_id", _ID, sa.ForeignKey("mailboxes.id"), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("progress", sa.Integer, nullable=False),
    # The call that began it, as its links repeat it: its URL behind the host, and its body's own words.
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("with_participants", sa.Boolean, nullable=False),
    sa.Column("activity_type", sa.String(16), nullable=False),
    sa.Column("activity_start", UtcDateTime, nullable=False),
    sa.Column("activity_end", UtcDateTime, nullable=False),
    # What was in the index when it began; what comes later is no part of it.
    sa.Column("cutoff_at", UtcDateTime, nullable=False),
    sa.Column("cutoff_row_id", sa.BigInteger, nullable=False),
    # Of what is counted so far, which is all once it is done; and the last message that is counted.
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("first_row_id", sa.BigInteger),
    sa.Column("last_row_id", sa.BigInteger),
    sa.Column("counted_received", UtcDateTime),
    sa.Column("counted_row_id", sa.BigInteger),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    sa.Column("finished_at", UtcDateTime),
    sa.Index(None, "status", "account_id"),
)

# Messages that are known to be there, or were said to be, and are not in the index with their envelope yet.
pending_messages = sa.Table(
    "pending_messages",
    metadata,
    sa.Column("account_id", _ID, sa.ForeignKey("accounts.id"), primary_key=True),
    sa.Column("mailbox", sa.Text, primary_key=True),
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("locator", sa.Text, nullable=False),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    sa.Column("next_attempt_at", UtcDateTime, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Index(None, "account_id", "next_attempt_at"),
)

# How far a mail source's walks have come, in the source's own words.
source_cursors = sa.Table(
    "source_cursors",
    metadata,
    sa.Column("account_id", _ID, sa.ForeignKey("accounts.id"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

graph_subscriptions = sa.Table(
    "graph_subscriptions",
    metadata,
    sa.Column("account_id", _ID, sa.ForeignKey("accounts.id"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("mailbox", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    # SHA-256 of the secret that its notifications bring; the secret itself is kept nowhere.
    sa.Column("client_state_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("subscription_id", sa.Text),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("renew_at", UtcDateTime),
)

catch_up_requests = sa.Table(
    "catch_up_requests",
    metadata,
    sa.Column("account_id", _ID, sa.ForeignKey("accounts.id"), primary_key=True),
    sa.Column("mailbox", sa.Text, primary_key=True),
    sa.Column("requested_at", UtcDateTime, nullable=False),
)

# By what a source calls the content of an attachment: what an earlier complete read of it found.
content_facts = sa.Table(
    "content_facts",
    metadata,
    sa.Column("account_id", _ID, sa.ForeignKey("accounts.id"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    # To the day; what was not used for long is removed.
    sa.Column("used_at", UtcDateTime, nullable=False, index=True),
)

# Ids and counts only: no names, no addresses, nothing of content.
audit_events = sa.Table(
    "audit_events",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("account_id", _ID, sa.ForeignKey("accounts.id")),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("subject_kind", sa.String(16)),
    sa.Column("subject_id", _ID),
    # Of refused calls: the route's template, the reason and status of the answer, the first of their request ids.
    sa.Column("route", sa.Text),
    sa.Column("reason", sa.String(64)),
    sa.Column("status", sa.Integer),
    sa.Column("request_id", sa.String(64)),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Index(None, "at"),
    sqlite_autoincrement=True,
)
