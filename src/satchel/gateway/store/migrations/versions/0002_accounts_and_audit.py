"""Accounts apart from each other, who made what, when a key was last used, and the audit trail."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ID = sa.String(36)
_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    with op.batch_alter_table("accounts") as accounts:
        accounts.create_unique_constraint("uq_accounts_name", ["name"])
    with op.batch_alter_table("mailboxes") as mailboxes:
        mailboxes.add_column(sa.Column("created_by", sa.Text))
        mailboxes.drop_constraint("uq_mailboxes_address", type_="unique")
        mailboxes.create_unique_constraint("uq_mailboxes_account_id_address", ["account_id", "address"])
    op.add_column("api_keys", sa.Column("created_by", sa.Text))
    op.add_column("api_keys", sa.Column("last_used_at", _INSTANT))
    op.add_column("webhooks", sa.Column("created_by", sa.Text))
    op.create_table(
        "audit_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("account_id", _ID),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject_kind", sa.String(16)),
        sa.Column("subject_id", _ID),
        sa.Column("route", sa.Text),
        sa.Column("reason", sa.String(64)),
        sa.Column("status", sa.Integer),
        sa.Column("request_id", sa.String(64)),
        sa.Column("count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_audit_events_account_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_events_at", "audit_events", ["at"])


def downgrade() -> None:
    """Fails where two accounts have a mailbox of one address: the schema below has no room for the second."""
    op.drop_table("audit_events")
    with op.batch_alter_table("webhooks") as webhooks:
        webhooks.drop_column("created_by")
    with op.batch_alter_table("api_keys") as api_keys:
        api_keys.drop_column("last_used_at")
        api_keys.drop_column("created_by")
    with op.batch_alter_table("mailboxes") as mailboxes:
        mailboxes.drop_constraint("uq_mailboxes_account_id_address", type_="unique")
        mailboxes.create_unique_constraint("uq_mailboxes_address", ["address"])
        mailboxes.drop_column("created_by")
    with op.batch_alter_table("accounts") as accounts:
        accounts.drop_constraint("uq_accounts_name", type_="unique")
