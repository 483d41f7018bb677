"""`satchel gateway …`: serve, and administer mailboxes, keys and webhooks.

The gateway is imported inside the commands: half of what it needs takes longer to import than a command takes to run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from satchel.cli.configured import ConfigFile, load, startable
from satchel.cli.durations import parse_duration
from satchel.cli.output import CommandError, moment, print_json, print_table
from satchel.contract.scopes import Scope
from satchel.gateway.settings import GatewaySettings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from satchel.gateway.store.keys import KeyRow

app = typer.Typer(help="The gateway: an API in front of the mail server.", no_args_is_help=True)
mailboxes_app = typer.Typer(help="The mailboxes that the gateway knows.", no_args_is_help=True)
keys_app = typer.Typer(help="API keys: what an integration may see and do, and until when.", no_args_is_help=True)
webhooks_app = typer.Typer(help="Webhooks: who is called when mail arrives.", no_args_is_help=True)
app.add_typer(mailboxes_app, name="mailboxes")
app.add_typer(keys_app, name="keys")
app.add_typer(webhooks_app, name="webhooks")

Json = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
Mailboxes = Annotated[
    list[str], typer.Option("--mailbox", metavar="ADDRESS", help="A mailbox that it is for; may be repeated.")
]


@contextmanager
def _database(config: Path | None) -> "Iterator[sa.Engine]":
    """The gateway's database; what it refuses becomes the command's error."""
    from satchel.gateway.store.database import open_database

    data_dir = load(GatewaySettings, config).data_dir
    with startable(data_dir):
        engine = open_database(data_dir)
        try:
            yield engine
        except (ValueError, LookupError) as error:
            raise CommandError(str(error)) from None
        finally:
            engine.dispose()


@app.command()
def serve(
    api_only: Annotated[
        bool,
        typer.Option(
            "--api-only", help="One more process of the API, beside a gateway that runs on the same data folder."
        ),
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; running downloads are given time to end."""
    from satchel.gateway.app import run

    settings = load(GatewaySettings, config)
    with startable(settings.data_dir):
        run(settings, api_only=api_only)


@mailboxes_app.command("add")
def add_mailbox(
    address: Annotated[str, typer.Argument(help="The mailbox's address.")],
    name: Annotated[str, typer.Option(help="A name for people; by default the address.")] = "",
    time_zone: Annotated[str, typer.Option(help="IANA name of the mailbox's time zone.")] = "UTC",
    config: ConfigFile = None,
) -> None:
    """Add a mailbox, so that keys and webhooks can name it. Those in the mail folder are found by themselves."""
    from satchel.gateway.store import mailboxes

    with _database(config) as engine:
        row = mailboxes.add_mailbox(engine, address, name=name, time_zone=time_zone)
    typer.echo(f"{row.address} is known as {row.mailbox_id}.")


@mailboxes_app.command("list")
def list_mailboxes(json: Json = False, config: ConfigFile = None) -> None:
    """List the mailboxes, and whether the mail that was there at first has been indexed."""
    from satchel.gateway.store import mailboxes

    with _database(config) as engine:
        rows = mailboxes.list_mailboxes(engine)
    if json:
        print_json(rows)
        return
    table = [(row.address, row.name, row.time_zone, moment(row.indexed_at)) for row in rows]
    print_table(
        ("ADDRESS", "NAME", "TIME ZONE", "INDEXED"),
        table,
        empty="No mailboxes. Put one into the mail folder, or add one.",
    )


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="A label for people.")],
    mailbox: Mailboxes,
    scope: Annotated[list[Scope], typer.Option("--scope", help="What the key may do; may be repeated.")],
    expires: Annotated[str, typer.Option(metavar="SPAN", help="How long it lives, such as 90d or 12h.")],
    config: ConfigFile = None,
) -> None:
    """Create an API key and print it, alone, on stdout: it is shown this once. Nothing of it can be changed later."""
    from satchel.gateway.store import keys

    with _database(config) as engine:
        expires_at = datetime.now(UTC) + parse_duration(expires)
        key, row = keys.create_key(engine, name, scopes=scope, mailboxes=mailbox, expires_at=expires_at)
    typer.echo(f"Key {row.short_identifier} is good until {moment(row.expires_at)}.", err=True)
    typer.echo(key)


@keys_app.command("list")
def list_keys(json: Json = False, config: ConfigFile = None) -> None:
    """List the keys, the expired and revoked ones too."""
    from satchel.gateway.store import keys

    with _database(config) as engine:
        rows = keys.list_keys(engine)
    if json:
        print_json(rows)
        return
    now = datetime.now(UTC)
    table = [
        (
            row.short_identifier,
            row.name,
            _state(row, now),
            moment(row.expires_at),
            " ".join(row.scopes),
            " ".join(row.mailboxes),
        )
        for row in rows
    ]
    print_table(
        ("KEY", "NAME", "STATE", "EXPIRES", "SCOPES", "MAILBOXES"),
        table,
        empty="No keys. Make one: satchel gateway keys create",
    )


def _state(row: "KeyRow", now: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "usable" if row.is_usable(now) else "expired"


@keys_app.command("revoke")
def revoke_key(
    identifier: Annotated[
        str, typer.Argument(metavar="KEY", help="Its short identifier or id, as `keys list` shows it.")
    ],
    config: ConfigFile = None,
) -> None:
    """Revoke a key; its next call is refused, also at a gateway that is running."""
    from satchel.gateway.store import keys

    with _database(config) as engine:
        row = keys.revoke_key(engine, identifier)
    typer.echo(f"{row.short_identifier} ({row.name}) is revoked.")


@webhooks_app.command("add")
def add_webhook(
    name: Annotated[str, typer.Argument(help="A label for people.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="The receiver's address, https://…")],
    mailbox: Mailboxes,
    secret: Annotated[
        str | None,
        typer.Option(
            envvar="SATCHEL_WEBHOOK_SECRET",
            help="Sent as Bearer token, 16 characters or more. Better in the environment: others can see arguments.",
        ),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Add a webhook: mail that arrives in these mailboxes from now on is announced to the URL."""
    from satchel.gateway.store import webhooks

    settings = load(GatewaySettings, config).webhooks
    with _database(config) as engine:
        row = webhooks.add_webhook(
            engine,
            name,
            url,
            mailboxes=mailbox,
            secret=secret,
            allow_http=settings.allow_http,
            allow_private_addresses=settings.allow_private_addresses,
        )
    if secret is None:
        typer.echo(
            "It has no secret: the receiver cannot tell who calls it. SATCHEL_WEBHOOK_SECRET sets one.", err=True
        )
    typer.echo(row.webhook_id)


@webhooks_app.command("list")
def list_webhooks(json: Json = False, config: ConfigFile = None) -> None:
    """List the webhooks."""
    from satchel.gateway.store import webhooks

    with _database(config) as engine:
        rows = webhooks.list_webhooks(engine)
    if json:
        print_json(rows)
        return
    table = [
        (
            row.webhook_id,
            row.name,
            "on" if row.enabled else "off",
            "yes" if row.has_secret else "no",
            row.url,
            " ".join(row.mailboxes),
        )
        for row in rows
    ]
    print_table(
        ("ID", "NAME", "STATE", "SECRET", "URL", "MAILBOXES"),
        table,
        empty="No webhooks. Add one: satchel gateway webhooks add",
    )


WebhookIdentifier = Annotated[
    str, typer.Argument(metavar="WEBHOOK", help="Its id or name, as `webhooks list` shows it.")
]


@webhooks_app.command("enable")
def enable_webhook(identifier: WebhookIdentifier, config: ConfigFile = None) -> None:
    """Switch a webhook on again; what arrived while it was off is not announced."""
    from satchel.gateway.store import webhooks

    with _database(config) as engine:
        row = webhooks.set_webhook_enabled(engine, identifier, enabled=True)
    typer.echo(f"{row.name} is on.")


@webhooks_app.command("disable")
def disable_webhook(identifier: WebhookIdentifier, config: ConfigFile = None) -> None:
    """Switch a webhook off: nothing more is sent to it, and what waits for it is cancelled."""
    from satchel.gateway.store import webhooks

    with _database(config) as engine:
        row = webhooks.set_webhook_enabled(engine, identifier, enabled=False)
    typer.echo(f"{row.name} is off.")


@webhooks_app.command("remove")
def remove_webhook(identifier: WebhookIdentifier, config: ConfigFile = None) -> None:
    """Remove a webhook and forget its secret; the record of its deliveries stays."""
    from satchel.gateway.store import webhooks

    with _database(config) as engine:
        row = webhooks.remove_webhook(engine, identifier)
    typer.echo(f"{row.name} is removed.")
