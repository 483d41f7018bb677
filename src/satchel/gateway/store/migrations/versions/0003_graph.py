"""Messages that wait to be described, and what a source over HTTP remembers: cursors, subscriptions, catch-ups."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ID = sa.String(36)
_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_pending_messages()
    _create_cursors()
    _create_subscriptions()
    _create_content_facts()


def _account(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("account_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=f"fk_{table}_account_id"),
    ]


def _create_pending_messages() -> None:
    op.create_table(
        "pending_messages",
        *_account("pending_messages"),
        sa.Column("mailbox", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("locator", sa.Text, nullable=False),
        sa.Column("first_seen_at", _INSTANT, nullable=False),
        sa.Column("next_attempt_at", _INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "mailbox", "message_id", name="pk_pending_messages"),
    )
    op.create_index(
        "ix_pending_messages_account_id_next_attempt_at", "pending_messages", ["account_id", "next_attempt_at"]
    )


def _create_cursors() -> None:
    op.create_table(
        "source_cursors",
        *_account("source_cursors"),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "key", name="pk_source_cursors"),
    )
    op.create_table(
        "catch_up_requests",
        *_account("catch_up_requests"),
        sa.Column("mailbox", sa.Text, nullable=False),
        sa.Column("requested_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "mailbox", name="pk_catch_up_requests"),
    )


def _create_subscriptions() -> None:
    op.create_table(
        "graph_subscriptions",
        *_account("graph_subscriptions"),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("mailbox", sa.Text, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("client_state_hash", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("subscription_id", sa.Text),
        sa.Column("expires_at", _INSTANT),
        sa.Column("renew_at", _INSTANT),
        sa.PrimaryKeyConstraint("account_id", "key", name="pk_graph_subscriptions"),
        sa.UniqueConstraint("client_state_hash", name="uq_graph_subscriptions_client_state_hash"),
    )


def _create_content_facts() -> None:
    op.create_table(
        "content_facts",
        *_account("content_facts"),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("used_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "key", name="pk_content_facts"),
    )
    op.create_index("ix_content_facts_used_at", "content_facts", ["used_at"])


def downgrade() -> None:
    for table in ("content_facts", "catch_up_requests", "graph_subscriptions", "source_cursors", "pending_messages"):
        op.drop_table(table)
