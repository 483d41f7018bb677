"""The tables of the ledger; `migrations/` makes them. Instants are milliseconds since 1970-01-01 UTC."""

import sqlalchemy as sa

METADATA = sa.MetaData()
events = sa.Table(
    "events",
    METADATA,
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("mailbox", sa.Text, nullable=False),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("received", sa.Text, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(64)),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("due_at_ms", sa.BigInteger, nullable=False),
    sa.Column("accepted_at_ms", sa.BigInteger, nullable=False),
    sa.Column("updated_at_ms", sa.BigInteger, nullable=False),
)

attachments = sa.Table(
    "attachments",
    METADATA,
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("attachment_id", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("content_type", sa.Text, nullable=False),
    sa.Column("listed_bytes", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(64)),
    sa.Column("rule", sa.Integer),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("due_at_ms", sa.BigInteger, nullable=False),
    sa.Column("storage_key", sa.Text),
    sa.Column("size", sa.BigInteger),
    sa.Column("sha256", sa.String(64)),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("updated_at_ms", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["message_id"], ["events.message_id"], name="fk_attachments_events"),
)
