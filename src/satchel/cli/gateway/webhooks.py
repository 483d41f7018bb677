"""`satchel gateway webhooks`: webhooks are added, listed, switched on and off, and removed."""

from pathlib import Path
from typing import Annotated

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.gateway.administration import IN_DEFAULT_ACCOUNT, InAccount, Json, Mailboxes, OfAccount, open_office
from satchel.cli.output import print_json

app = typer.Typer(help="Webhooks: who is called when mail arrives.", no_args_is_help=True)

WebhookIdentifier = Annotated[
    str, typer.Argument(metavar="WEBHOOK", help="Its id or name, as `webhooks list` shows it.")
]


@app.command("add")
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
    account: InAccount = IN_DEFAULT_ACCOUNT,
    config: ConfigFile = None,
) -> None:
    """Add a webhook: mail that arrives in these mailboxes from now on is announced to the URL."""
    from satchel.gateway.store import webhooks
    from satchel.gateway.webhooks.egress import egress_policy

    with open_office(config) as office:
        row = webhooks.add_webhook(
            office.engine,
            webhooks.NewWebhook(name, url, mailbox, secret=secret),
            policy=egress_policy(office.settings.webhooks),
            master_key=office.master_key(),
            acting=office.acting(account),
        )
    if secret is None:
        typer.echo(
            "It has no secret: the receiver cannot tell who calls it. SATCHEL_WEBHOOK_SECRET sets one.", err=True
        )
    typer.echo(row.webhook_id)


@app.command("list")
def list_webhooks(account: OfAccount = None, json: Json = False, config: ConfigFile = None) -> None:
    """List the webhooks."""
    from satchel.gateway.store import webhooks

    with open_office(config) as office:
        rows = webhooks.list_webhooks(office.engine, office.account_id(account))
        if json:
            print_json(rows)
            return
        table = [
            (
                row.account,
                (
                    row.webhook_id,
                    row.name,
                    "on" if row.enabled else "off",
                    "yes" if row.has_secret else "no",
                    row.url,
                    " ".join(row.mailboxes),
                ),
            )
            for row in rows
        ]
        office.print_rows(
            ("ID", "NAME", "STATE", "SECRET", "URL", "MAILBOXES"),
            table,
            empty="No webhooks. Add one: satchel gateway webhooks add",
        )


@app.command("enable")
def enable_webhook(identifier: WebhookIdentifier, account: OfAccount = None, config: ConfigFile = None) -> None:
    """Switch a webhook on again; what arrived while it was off is not announced."""
    _switch(identifier, account, config, enabled=True)


@app.command("disable")
def disable_webhook(identifier: WebhookIdentifier, account: OfAccount = None, config: ConfigFile = None) -> None:
    """Switch a webhook off: nothing more is sent to it, and what waits for it is cancelled."""
    _switch(identifier, account, config, enabled=False)


def _switch(identifier: str, account: str | None, config: Path | None, *, enabled: bool) -> None:
    from satchel.gateway.store import webhooks

    with open_office(config) as office:
        account_id = office.account_id(account)
        row = webhooks.set_webhook_enabled(
            office.engine, identifier, enabled=enabled, account_id=account_id, actor=office.actor
        )
    typer.echo(f"{row.name} is {'on' if enabled else 'off'}.")


@app.command("remove")
def remove_webhook(identifier: WebhookIdentifier, account: OfAccount = None, config: ConfigFile = None) -> None:
    """Remove a webhook and forget its secret; the record of its deliveries stays."""
    from satchel.gateway.store import webhooks

    with open_office(config) as office:
        account_id = office.account_id(account)
        row = webhooks.remove_webhook(office.engine, identifier, account_id=account_id, actor=office.actor)
    typer.echo(f"{row.name} is removed.")
