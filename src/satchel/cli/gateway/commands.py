"""`satchel gateway …`: the groups of its commands put together."""

import typer

from satchel.cli.gateway import accounts, audit, deliveries, doctor, keys, mailboxes, master_key, rules, serve, webhooks

app = typer.Typer(help="The gateway: an API in front of the mail server.", no_args_is_help=True)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.add_typer(accounts.app, name="accounts")
app.add_typer(mailboxes.app, name="mailboxes")
app.add_typer(keys.app, name="keys")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(rules.app, name="rules")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(master_key.app, name="master-key")
app.command("audit")(audit.audit)
