"""Runs the ledger's revisions on the connection that `satchel.durable.database.migrate` holds."""

from satchel.durable.database import run_revisions

run_revisions()
