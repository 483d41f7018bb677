"""`satchel gateway mailboxes`: which mailboxes there are."""

from typing import Annotated

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.gateway.administration import IN_DEFAULT_ACCOUNT, InAccount, Json, OfAccount, open_office
from satchel.cli.output import moment, print_json

app = typer.Typer(help="The mailboxes that the gateway knows.", no_args_is_help=True)


@app.command("add")
def add_mailbox(
    address: Annotated[str, typer.Argument(help="The mailbox's address.")],
    name: Annotated[str, typer.Option(help="A name for people; by default the address.")] = "",
    time_zone: Annotated[str, typer.Option(help="IANA name of the mailbox's time zone.")] = "UTC",
    account: InAccount = IN_DEFAULT_ACCOUNT,
    config: ConfigFile = None,
) -> None:
    """Add a mailbox, so that keys and webhooks can name it. Those in the mail folder are found by themselves."""
    from satchel.gateway.store import mailboxes

    with open_office(config) as office:
        acting = office.acting(account)
        row = mailboxes.add_mailbox(office.engine, address, name=name, time_zone=time_zone, acting=acting)
    typer.echo(f"{row.address} is known as {row.mailbox_id}.")


@app.command("list")
def list_mailboxes(account: OfAccount = None, json: Json = False, config: ConfigFile = None) -> None:
    """List the mailboxes, and whether the mail that was there at first has been indexed."""
    from satchel.gateway.store import mailboxes

    with open_office(config) as office:
        rows = mailboxes.list_mailboxes(office.engine, office.account_id(account))
        if json:
            print_json(rows)
            return
        office.print_rows(
            ("ADDRESS", "NAME", "TIME ZONE", "INDEXED"),
            [(row.account, (row.address, row.name, row.time_zone, moment(row.indexed_at))) for row in rows],
            empty="No mailboxes. Put one into the mail folder, or add one.",
        )
