"""The first schema: accounts, mailboxes, keys, the message index, webhooks and their deliveries."""

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ID = sa.String(36)
_INSTANT = sa.DateTime(timezone=True)
_DEFAULT_ACCOUNT_ID = "00000000-0000-4000-8000-000000000001"


def upgrade() -> None:
    _create_accounts_and_mailboxes()
    _create_keys()
    _create_messages()
    _create_webhooks()
    _create_deliveries()


def _create_accounts_and_mailboxes() -> None:
    accounts = op.create_table(
        "accounts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
    )
    op.bulk_insert(accounts, [{"id": _DEFAULT_ACCOUNT_ID, "name": "default", "created_at": datetime.now(UTC)}])
    op.create_table(
        "mailboxes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("time_zone", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("indexed_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_mailboxes"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_mailboxes_account_id"),
        sa.UniqueConstraint("address", name="uq_mailboxes_address"),
    )


def _create_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("short_identifier", sa.Text, nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("expires_at", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("revoked_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_api_keys_account_id"),
        sa.UniqueConstraint("key_hash", name="uq_api_keys_key_hash"),
    )
    op.create_table(
        "api_key_mailboxes",
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("mailbox_id", _ID, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "mailbox_id", name="pk_api_key_mailboxes"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_api_key_mailboxes_key_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailboxes.id"], name="fk_api_key_mailboxes_mailbox_id"),
    )


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("mailbox_id", _ID, nullable=False),
        sa.Column("locator", sa.Text, nullable=False),
        sa.Column("internet_message_id", sa.Text, nullable=False),
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("received", _INSTANT, nullable=False),
        sa.Column("sender", sa.JSON, nullable=False),
        sa.Column("from", sa.JSON, nullable=False),
        sa.Column("to", sa.JSON, nullable=False),
        sa.Column("cc", sa.JSON, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("has_attachments", sa.Boolean, nullable=False),
        sa.Column("readable", sa.Boolean, nullable=False),
        sa.Column("indexed_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailboxes.id"], name="fk_messages_mailbox_id"),
        sa.UniqueConstraint("message_id", "mailbox_id", name="uq_messages_message_id_mailbox_id"),
        sqlite_autoincrement=True,
    )


def _create_webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("secret", sa.Text),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("removed_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_webhooks_account_id"),
    )
    op.create_table(
        "webhook_mailboxes",
        sa.Column("webhook_id", _ID, nullable=False),
        sa.Column("mailbox_id", _ID, nullable=False),
        sa.PrimaryKeyConstraint("webhook_id", "mailbox_id", name="pk_webhook_mailboxes"),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name="fk_webhook_mailboxes_webhook_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailboxes.id"], name="fk_webhook_mailboxes_mailbox_id"),
    )


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", _ID, nullable=False),
        sa.Column("webhook_id", _ID, nullable=False),
        sa.Column("message_row_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("next_attempt_at", _INSTANT),
        sa.Column("finished_at", _INSTANT),
        sa.Column("last_status_code", sa.Integer),
        sa.Column("last_error", sa.Text),
        sa.Column("last_answer", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], name="fk_deliveries_webhook_id"),
        sa.ForeignKeyConstraint(["message_row_id"], ["messages.id"], name="fk_deliveries_message_row_id"),
        sa.UniqueConstraint("webhook_id", "message_row_id", name="uq_deliveries_webhook_id_message_row_id"),
    )
    op.create_index("ix_deliveries_status_next_attempt_at", "deliveries", ["status", "next_attempt_at"])
    op.create_table(
        "delivery_attempts",
        sa.Column("delivery_id", _ID, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("finished_at", _INSTANT),
        sa.Column("status_code", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("answer", sa.Text),
        sa.PrimaryKeyConstraint("delivery_id", "number", name="pk_delivery_attempts"),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_delivery_attempts_delivery_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    for table in (
        "delivery_attempts",
        "deliveries",
        "webhook_mailboxes",
        "webhooks",
        "messages",
        "api_key_mailboxes",
        "api_keys",
        "mailboxes",
        "accounts",
    ):
        op.drop_table(table)
