"""`satchel gateway keys`: API keys are created, listed, shown and revoked."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.durations import parse_duration
from satchel.cli.gateway.administration import IN_DEFAULT_ACCOUNT, InAccount, Json, Mailboxes, OfAccount, open_office
from satchel.cli.output import moment, print_json, print_table
from satchel.contract.scopes import Scope

if TYPE_CHECKING:
    from satchel.gateway.store.keys import KeyRow

app = typer.Typer(help="API keys: what an integration may see and do, and until when.", no_args_is_help=True)

KeyIdentifier = Annotated[
    str, typer.Argument(metavar="KEY", help="Its short identifier or id, as `keys list` shows it.")
]


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="A label for people.")],
    mailbox: Mailboxes,
    scope: Annotated[list[Scope], typer.Option("--scope", help="What the key may do; may be repeated.")],
    expires: Annotated[str, typer.Option(metavar="SPAN", help="How long it lives, such as 90d or 12h.")],
    account: InAccount = IN_DEFAULT_ACCOUNT,
    config: ConfigFile = None,
) -> None:
    """Create an API key and print it, alone, on stdout: it is shown this once. Nothing of it can be changed later."""
    from satchel.gateway.store import keys

    with open_office(config) as office:
        expires_at = datetime.now(UTC) + parse_duration(expires)
        acting = office.acting(account)
        key, row = keys.create_key(
            office.engine, name, scopes=scope, mailboxes=mailbox, expires_at=expires_at, acting=acting
        )
    typer.echo(f"Key {row.short_identifier} is good until {moment(row.expires_at)}.", err=True)
    typer.echo(key)


@app.command("list")
def list_keys(account: OfAccount = None, json: Json = False, config: ConfigFile = None) -> None:
    """List the keys, the expired and revoked ones too."""
    from satchel.gateway.store import keys

    with open_office(config) as office:
        rows = keys.list_keys(office.engine, office.account_id(account))
        if json:
            print_json(rows)
            return
        now = datetime.now(UTC)
        office.print_rows(
            ("KEY", "NAME", "STATE", "EXPIRES", "LAST USED", "SCOPES", "MAILBOXES"),
            [(row.account, _cells(row, now)) for row in rows],
            empty="No keys. Make one: satchel gateway keys create",
        )


def _cells(row: "KeyRow", now: datetime) -> tuple[str, ...]:
    times = (moment(row.expires_at), moment(row.last_used_at))
    return row.short_identifier, row.name, _state(row, now), *times, " ".join(row.scopes), " ".join(row.mailboxes)


def _state(row: "KeyRow", now: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "usable" if row.is_usable(now) else "expired"


@app.command("show")
def show_key(
    identifier: KeyIdentifier, account: OfAccount = None, json: Json = False, config: ConfigFile = None
) -> None:
    """Show all that is known of a key; the key itself is not."""
    from satchel.gateway.store import keys

    with open_office(config) as office:
        row = keys.find_key(office.engine, identifier, office.account_id(account))
    if json:
        print_json(row)
        return
    facts = (
        ("key", row.short_identifier),
        ("id", row.key_id),
        ("name", row.name),
        ("account", row.account),
        ("state", _state(row, datetime.now(UTC))),
        ("created", moment(row.created_at)),
        ("created by", row.created_by or "-"),
        ("expires", moment(row.expires_at)),
        ("revoked", moment(row.revoked_at)),
        ("last used", moment(row.last_used_at)),
        ("scopes", " ".join(row.scopes)),
        ("mailboxes", " ".join(row.mailboxes)),
    )
    print_table(("FACT", "VALUE"), facts, empty="")


@app.command("revoke")
def revoke_key(identifier: KeyIdentifier, account: OfAccount = None, config: ConfigFile = None) -> None:
    """Revoke a key; its next call is refused, also at a gateway that is running."""
    from satchel.gateway.store import keys

    with open_office(config) as office:
        account_id = office.account_id(account)
        row = keys.revoke_key(office.engine, identifier, account_id=account_id, actor=office.actor)
    typer.echo(f"{row.short_identifier} ({row.name}) is revoked.")
