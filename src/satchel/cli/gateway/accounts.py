"""`satchel gateway accounts`: which accounts there are. They are made by naming them in the settings."""

from typing import TYPE_CHECKING, Any

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.gateway.administration import Json, open_office
from satchel.cli.output import moment, print_json, print_table
from satchel.gateway.settings import AccountSettings

if TYPE_CHECKING:
    from satchel.gateway.store.accounts import AccountRow

app = typer.Typer(help="Accounts: mail, keys, webhooks and rates that are kept apart.", no_args_is_help=True)


@app.callback()
def accounts() -> None:
    """Accounts: mail, keys, webhooks and rates that are kept apart."""


@app.command("list")
def list_accounts(json: Json = False, config: ConfigFile = None) -> None:
    """List the accounts, also those that the settings no longer name: what they have is kept, their keys are refused.

    An account is added by a table of its own in satchel.toml: [gateway.accounts.NAME].
    """
    from satchel.gateway.store import accounts

    with open_office(config) as office:
        rows = accounts.list_accounts(office.engine)
    if json:
        print_json([_described(row, office.accounts.get(row.name)) for row in rows])
        return
    table = [
        (
            row.name,
            "served" if row.name in office.accounts else "not in the settings",
            str(row.mailboxes),
            str(row.keys),
            str(row.webhooks),
            _rate(office.accounts.get(row.name)),
            moment(row.created_at),
            row.account_id,
        )
        for row in rows
    ]
    print_table(("ACCOUNT", "STATE", "MAILBOXES", "KEYS", "WEBHOOKS", "RATE", "SINCE", "ID"), table, empty="None.")


def _rate(settings: AccountSettings | None) -> str:
    if settings is None:
        return "-"
    return f"{settings.rate_limit_per_minute}/min" if settings.rate_limit_per_minute else "no limit"


def _described(row: "AccountRow", settings: AccountSettings | None) -> dict[str, Any]:
    shown = {"account_id": row.account_id, "name": row.name, "served": settings is not None}
    counts = {"mailboxes": row.mailboxes, "keys": row.keys, "webhooks": row.webhooks, "created_at": row.created_at}
    of_settings = (
        {}
        if settings is None
        else {
            "source": settings.source,
            **({"folder": str(settings.folder.path)} if settings.source == "folder" else {}),
            "rate_limit_per_minute": settings.rate_limit_per_minute,
        }
    )
    return {**shown, **counts, **of_settings}
