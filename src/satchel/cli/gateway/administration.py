"""What the commands that administer the gateway share: its database, its accounts, who acts, and their options.

The gateway's store is imported inside the functions: it takes longer to import than a command takes to run.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from satchel.cli.configured import load, startable
from satchel.cli.output import CommandError, print_table
from satchel.gateway.audit.actions import command_actor
from satchel.gateway.settings import DEFAULT_ACCOUNT, AccountSettings, GatewaySettings, load_master_key
from satchel.settings import SettingsError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from satchel.gateway.sealing import MasterKey
    from satchel.gateway.store.audit import Acting

Json = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
Mailboxes = Annotated[
    list[str], typer.Option("--mailbox", metavar="ADDRESS", help="A mailbox that it is for; may be repeated.")
]
InAccount = Annotated[str, typer.Option("--account", metavar="NAME", help="The account that it is to be in.")]
OfAccount = Annotated[
    str | None, typer.Option("--account", metavar="NAME", help="Of this account only; by default of all.")
]
WebhookIdentifier = Annotated[
    str, typer.Argument(metavar="WEBHOOK", help="Its id or name, as `webhooks list` shows it.")
]
IN_DEFAULT_ACCOUNT = DEFAULT_ACCOUNT


@dataclass(frozen=True, slots=True)
class Office:
    """The gateway's database, open for one command; `accounts` are those of the settings, `ids` theirs."""

    engine: "sa.Engine"
    settings: GatewaySettings
    accounts: Mapping[str, AccountSettings]
    ids: Mapping[str, str]
    actor: str

    def acting(self, account: str) -> "Acting":
        """Who runs this command, in an account. Raises CommandError for one that the settings do not name."""
        from satchel.gateway.store.audit import Acting

        if account not in self.ids:
            raise CommandError(
                f"The settings name no account {account!r}. Give it a table: [gateway.accounts.{account}]. "
                f"Named are: {', '.join(self.ids)}."
            )
        return Acting(self.ids[account], self.actor)

    def master_key(self) -> "MasterKey | None":
        """The key that secrets are sealed with, if there is one. Raises CommandError for one that is none."""
        try:
            return load_master_key()
        except SettingsError as error:
            raise CommandError(str(error)) from None

    def account_id(self, account: str | None) -> str | None:
        """The id of an account, also of one that the settings no longer name; None stays None. Raises LookupError."""
        from satchel.gateway.store.accounts import find_account

        return None if account is None else find_account(self.engine, account)

    def print_rows(
        self, columns: Sequence[str], rows: Sequence[tuple[str | None, Sequence[str]]], *, empty: str
    ) -> None:
        """A table of rows, each with its account, which is shown where there is more than one."""
        from satchel.gateway.store.accounts import list_accounts

        if len(list_accounts(self.engine)) == 1:
            print_table(columns, [cells for _, cells in rows], empty=empty)
            return
        print_table(("ACCOUNT", *columns), [(account or "-", *cells) for account, cells in rows], empty=empty)


@contextmanager
def open_office(config: Path | None) -> Iterator[Office]:
    """The gateway's database with the accounts of the settings in it; what it refuses becomes the command's error."""
    import structlog

    from satchel.gateway.store.accounts import register_accounts
    from satchel.gateway.store.database import open_database

    # Standard output is for what was asked for, which may be JSON.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    settings = load(GatewaySettings, config)
    with startable(settings.data_dir):
        engine = open_database(settings.data_dir)
        try:
            accounts, actor = settings.by_account(), command_actor(os.getuid())
            ids = register_accounts(engine, list(accounts), actor=actor)
            yield Office(engine, settings, accounts, {name: ids[name] for name in accounts}, actor)
        except (ValueError, LookupError) as error:
            raise CommandError(str(error)) from None
        finally:
            engine.dispose()
