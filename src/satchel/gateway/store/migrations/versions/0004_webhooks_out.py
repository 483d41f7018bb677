"""Sealed secrets, rules, schedules and pauses of webhooks; lanes of deliveries; report runs; messages of the past.

Secrets that lay open are dropped and not sealed, since a copy of the database may have them: their webhooks are paused,
keeping what is for them, until they are given new ones.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ID = sa.String(36)
_INSTANT = sa.DateTime(timezone=True)
_NOTE = (
    "Its secret lay open in the database and was dropped. Give it a new one (satchel gateway webhooks secret set), and "
    "then let it go on: satchel gateway webhooks resume"
)


def upgrade() -> None:
    _change_webhooks()
    _create_rules()
    _change_deliveries()
    _create_delivery_lanes()
    _create_report_runs()
    # No batch: a copy of the table would use its numbers again.
    op.add_column("messages", sa.Column("watched", sa.Boolean, nullable=False, server_default=sa.true()))
    _index_messages("received", "id")
    _index_messages("id", "received")


def _index_messages(*columns: str) -> None:
    is_readable = sa.column("readable", sa.Boolean).is_(True)
    names = ("mailbox_id", *columns)
    op.create_index(
        f"ix_messages_{'_'.join(names)}", "messages", names, sqlite_where=is_readable, postgresql_where=is_readable
    )


def _change_webhooks() -> None:
    added: dict[str, tuple[sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]], object]] = {
        "by_rules": (sa.Boolean, False),
        "include_text": (sa.Boolean, False),
        "include_custom_fields": (sa.Boolean, True),
        "schedule": (sa.String(16), "standard"),
        "max_in_flight": (sa.Integer, 1),
        "failed_attempts": (sa.Integer, 0),
    }
    with op.batch_alter_table("webhooks") as webhooks:
        for name in ("sealed_secret", "sealed_next_secret", "pause_note"):
            webhooks.add_column(sa.Column(name, sa.Text))
        for name in ("failing_since", "paused_at"):
            webhooks.add_column(sa.Column(name, _INSTANT))
        for name, (kind, _) in added.items():
            webhooks.add_column(sa.Column(name, kind))
    instant: sa.ColumnClause[datetime] = sa.column("paused_at", _INSTANT)
    table = sa.table("webhooks", *map(sa.column, (*added, "secret", "pause_note")), instant)
    op.execute(sa.update(table).values({name: value for name, (_, value) in added.items()}))
    with_secret = sa.update(table).where(table.c.secret.is_not(None))
    op.execute(with_secret.values(paused_at=datetime.now(UTC), pause_note=_NOTE))
    with op.batch_alter_table("webhooks") as webhooks:
        webhooks.drop_column("secret")
        for name, (kind, _) in added.items():
            webhooks.alter_column(name, existing_type=kind, nullable=False)


def _create_rules() -> None:
    op.create_table(
        "rules",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("mailbox_id", _ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("conditions", sa.JSON, nullable=False),
        sa.Column("webhook_id", _ID),
        sa.Column("custom_fields", sa.JSON, nullable=False),
        sa.Column("stop", sa.Boolean, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("created_by", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_rules"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_rules_account_id"),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailboxes.id"], name="fk_rules_mailbox_id"),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], name="fk_rules_webhook_id"),
    )
    op.create_index("ix_rules_mailbox_id_position", "rules", ["mailbox_id", "position"])


def _change_deliveries() -> None:
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.add_column(sa.Column("mailbox_id", _ID))
        deliveries.add_column(sa.Column("rule_id", _ID))
        deliveries.add_column(sa.Column("custom_fields", sa.JSON))
        deliveries.add_column(sa.Column("text_missing_since", _INSTANT))
    op.execute(
        "UPDATE deliveries SET mailbox_id ="
        " (SELECT messages.mailbox_id FROM messages WHERE messages.id = deliveries.message_row_id)"
    )
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.alter_column("mailbox_id", existing_type=_ID, nullable=False)
        deliveries.create_foreign_key("fk_deliveries_mailbox_id", "mailboxes", ["mailbox_id"], ["id"])
    op.drop_index("ix_deliveries_status_next_attempt_at", "deliveries")
    op.create_index("ix_deliveries_status_created_at", "deliveries", ["status", "created_at"])
    columns = ["webhook_id", "mailbox_id", "status", "message_row_id", "attempts", "next_attempt_at"]
    op.create_index("ix_deliveries_lane", "deliveries", columns)
    op.create_index("ix_deliveries_created_at", "deliveries", ["created_at"])
    op.create_index("ix_deliveries_finished_at", "deliveries", ["finished_at"])


def _create_delivery_lanes() -> None:
    op.create_table(
        "delivery_lanes",
        sa.Column("webhook_id", _ID, nullable=False),
        sa.Column("mailbox_id", _ID, nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("due_at", _INSTANT),
        sa.PrimaryKeyConstraint("webhook_id", "mailbox_id", name="pk_delivery_lanes"),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], name="fk_delivery_lanes_webhook_id"),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailboxes.id"], name="fk_delivery_lanes_mailbox_id"),
    )
    op.create_index("ix_delivery_lanes_due_at", "delivery_lanes", ["due_at"])
    op.execute(
        "INSERT INTO delivery_lanes SELECT webhook_id, mailbox_id, 1, min(next_attempt_at) FROM deliveries"
        " WHERE status = 'pending' GROUP BY webhook_id, mailbox_id"
    )


def _create_report_runs() -> None:
    op.create_table(
        "report_runs",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("mailbox_id", _ID, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("progress", sa.Integer, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("with_participants", sa.Boolean, nullable=False),
        sa.Column("activity_type", sa.String(16), nullable=False),
        sa.Column("activity_start", _INSTANT, nullable=False),
        sa.Column("activity_end", _INSTANT, nullable=False),
        sa.Column("cutoff_at", _INSTANT, nullable=False),
        sa.Column("cutoff_row_id", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("first_row_id", sa.BigInteger),
        sa.Column("last_row_id", sa.BigInteger),
        sa.Column("counted_received", _INSTANT),
        sa.Column("counted_row_id", sa.BigInteger),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("finished_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_report_runs"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_report_runs_account_id"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_report_runs_key_id"),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailboxes.id"], name="fk_report_runs_mailbox_id"),
    )
    op.create_index("ix_report_runs_status_account_id", "report_runs", ["status", "account_id"])
    op.create_index("ix_report_runs_created_at", "report_runs", ["created_at"])


def downgrade() -> None:
    """Sealed secrets are lost, since the schema below keeps them open; what had one, or was paused, is switched off."""
    op.drop_index("ix_messages_mailbox_id_id_received", "messages")
    op.drop_index("ix_messages_mailbox_id_received_id", "messages")
    op.drop_column("messages", "watched")
    op.drop_table("report_runs")
    op.drop_table("rules")
    op.drop_index("ix_deliveries_finished_at", "deliveries")
    op.drop_index("ix_deliveries_created_at", "deliveries")
    op.drop_table("delivery_lanes")
    op.drop_index("ix_deliveries_lane", "deliveries")
    op.drop_index("ix_deliveries_status_created_at", "deliveries")
    op.create_index("ix_deliveries_status_next_attempt_at", "deliveries", ["status", "next_attempt_at"])
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.drop_constraint("fk_deliveries_mailbox_id", type_="foreignkey")
        for name in ("mailbox_id", "rule_id", "custom_fields", "text_missing_since"):
            deliveries.drop_column(name)
    held = sa.table("webhooks", *map(sa.column, ("enabled", "sealed_secret", "paused_at")))
    is_held = sa.or_(held.c.sealed_secret.is_not(None), held.c.paused_at.is_not(None))
    op.execute(sa.update(held).where(is_held).values(enabled=sa.false()))
    with op.batch_alter_table("webhooks") as webhooks:
        webhooks.add_column(sa.Column("secret", sa.Text))
        for name in (
            *("sealed_secret", "sealed_next_secret", "by_rules", "include_text", "include_custom_fields", "schedule"),
            *("max_in_flight", "failing_since", "failed_attempts", "paused_at", "pause_note"),
        ):
            webhooks.drop_column(name)
