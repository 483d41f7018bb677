"""`satchel gateway webhooks`: webhooks are added, listed, shown, changed, switched on and off, paused and removed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.gateway import webhook_secrets, webhook_test
from satchel.cli.gateway.administration import (
    IN_DEFAULT_ACCOUNT,
    InAccount,
    Json,
    Mailboxes,
    OfAccount,
    WebhookIdentifier,
    open_office,
)
from satchel.cli.gateway.webhook_secrets import SecretOptions, choose_secret, tell_secret, warn_of_unreadable_secrets
from satchel.cli.grouped import grouped
from satchel.cli.output import moment, print_json, print_table, printable
from satchel.gateway.webhooks.schedule import Schedule

if TYPE_CHECKING:
    from satchel.gateway.store.webhooks import WebhookRow

_MAX_IN_FLIGHT = 1000
_ByRules = Annotated[
    bool | None, typer.Option("--by-rules/--everything", help="Told of what a rule says, or of all that arrives.")
]
_Text = Annotated[bool | None, typer.Option("--text/--no-text", help="Include the message's text.")]
_CustomFields = Annotated[
    bool | None, typer.Option("--custom-fields/--no-custom-fields", help="Include what its rule adds.")
]
_Schedule = Annotated[
    Schedule | None, typer.Option("--schedule", help="Three attempts, or eight over about a day.", show_default=False)
]
_InFlight = Annotated[
    int | None,
    typer.Option(
        "--max-in-flight",
        min=1,
        max=_MAX_IN_FLIGHT,
        help="Deliveries of one mailbox under way at once; with 1 they keep their order.",
    ),
]

app = typer.Typer(help="Webhooks: who is called when mail arrives.", no_args_is_help=True)
app.add_typer(webhook_secrets.app, name="secret")
app.command("test")(webhook_test.try_webhook)


@dataclass(frozen=True, slots=True)
class _Options:
    """What a webhook is told, and how; None stands for the default, or for what it is already."""

    by_rules: _ByRules = None
    text: _Text = None
    custom_fields: _CustomFields = None
    schedule: _Schedule = None
    max_in_flight: _InFlight = None

    def fields(self) -> dict[str, Any]:
        """Those that were given, by the names that the store has for them."""
        named = {
            "by_rules": self.by_rules,
            "include_text": self.text,
            "include_custom_fields": self.custom_fields,
            "schedule": self.schedule,
            "max_in_flight": self.max_in_flight,
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Where:
    name: Annotated[str | None, typer.Option("--name", help="Another label for people.")] = None
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Another address of the receiver.")] = None
    add_mailbox: Annotated[
        list[str] | None, typer.Option("--add-mailbox", metavar="ADDRESS", help="One more mailbox; may be repeated.")
    ] = None
    remove_mailbox: Annotated[
        list[str] | None,
        typer.Option(
            "--remove-mailbox", metavar="ADDRESS", help="One mailbox less; what waits of it is cancelled. Likewise."
        ),
    ] = None


@app.command("add")
@grouped
def add_webhook(
    name: Annotated[str, typer.Argument(help="A label for people.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="The receiver's address, https://…")],
    mailbox: Mailboxes,
    secret: SecretOptions,
    options: _Options,
    account: InAccount = IN_DEFAULT_ACCOUNT,
    config: ConfigFile = None,
) -> None:
    """Add a webhook: mail that arrives in these mailboxes from now on is announced to the URL.

    Its secret is that of SATCHEL_WEBHOOK_SECRET or of --secret-file; without one of them it is made and printed, alone,
    on stdout: it is shown this once.
    """
    from satchel.gateway.store import webhooks
    from satchel.gateway.webhooks.egress import egress_policy

    chosen = choose_secret(secret)
    with open_office(config) as office:
        row = webhooks.add_webhook(
            office.engine,
            webhooks.NewWebhook(name, url, mailbox, secret=chosen.text, **options.fields()),
            policy=egress_policy(office.settings.webhooks),
            master_key=office.master_key(),
            acting=office.acting(account),
        )
        warn_of_unreadable_secrets(office, chosen)
    _say(f"{row.name} is added as {row.webhook_id}.")
    if row.by_rules:
        _say("It is told of what its rules say. Add one: satchel gateway rules add")
    tell_secret(chosen)


@app.command("list")
def list_webhooks(account: OfAccount = None, json: Json = False, config: ConfigFile = None) -> None:
    """List the webhooks."""
    from satchel.gateway.store import webhooks

    with open_office(config) as office:
        rows = webhooks.list_webhooks(office.engine, office.account_id(account))
        if json:
            print_json(rows)
            return
        office.print_rows(
            ("ID", "NAME", "STATE", "SECRET", "URL", "MAILBOXES"),
            [
                (
                    row.account,
                    (row.webhook_id, row.name, _state(row), _secret_state(row), row.url, " ".join(row.mailboxes)),
                )
                for row in rows
            ],
            empty="No webhooks. Add one: satchel gateway webhooks add",
        )


@app.command("show")
def show_webhook(
    identifier: WebhookIdentifier, account: OfAccount = None, json: Json = False, config: ConfigFile = None
) -> None:
    """Show all that is known of a webhook; its secret is not shown."""
    from satchel.gateway.store import webhooks

    with open_office(config) as office:
        row = webhooks.find_webhook(office.engine, identifier, office.account_id(account))
    if json:
        print_json(row)
        return
    failing = f"{row.failed_attempts} attempts since {moment(row.failing_since)}" if row.failing_since else "-"
    facts = (
        ("id", row.webhook_id),
        ("name", row.name),
        ("account", row.account),
        ("state", _state(row)),
        ("paused", moment(row.paused_at)),
        ("note", row.pause_note or "-"),
        ("failing", failing),
        ("url", row.url),
        ("secret", _secret_state(row)),
        ("mailboxes", " ".join(row.mailboxes)),
        ("told of", "what its rules say" if row.by_rules else "everything"),
        ("text", _yes(row.include_text)),
        ("custom fields", _yes(row.include_custom_fields)),
        ("schedule", row.schedule),
        ("max in flight", str(row.max_in_flight)),
        ("created", moment(row.created_at)),
        ("created by", row.created_by or "-"),
    )
    print_table(("FACT", "VALUE"), facts, empty="")


@app.command("change")
@grouped
def change_webhook(
    identifier: WebhookIdentifier,
    where: _Where,
    options: _Options,
    account: OfAccount = None,
    config: ConfigFile = None,
) -> None:
    """Change what is named, from the next attempt on; what waits goes to a new URL too."""
    from satchel.gateway.store import webhook_changes
    from satchel.gateway.webhooks.egress import egress_policy

    changes = webhook_changes.Changes(
        name=where.name,
        url=where.url,
        add_mailboxes=where.add_mailbox or (),
        remove_mailboxes=where.remove_mailbox or (),
        **options.fields(),
    )
    if changes == webhook_changes.Changes():
        raise typer.BadParameter("name what is to be different, such as --url or --schedule.")
    with open_office(config) as office:
        row = webhook_changes.change_webhook(
            office.engine,
            identifier,
            changes,
            policy=egress_policy(office.settings.webhooks),
            account_id=office.account_id(account),
            actor=office.actor,
        )
    typer.echo(f"{printable(row.name)} is changed.{_pause_reminder(row)}")


@app.command("enable")
def enable_webhook(identifier: WebhookIdentifier, account: OfAccount = None, config: ConfigFile = None) -> None:
    """Switch a webhook on again; what arrived while it was off is not announced."""
    from satchel.gateway.store.webhook_changes import set_webhook_enabled

    row = _act(set_webhook_enabled, identifier, account, config, enabled=True)
    typer.echo(f"{printable(row.name)} is on.{_pause_reminder(row)}")


@app.command("disable")
def disable_webhook(identifier: WebhookIdentifier, account: OfAccount = None, config: ConfigFile = None) -> None:
    """Switch a webhook off: nothing more is sent to it, and what waits for it is cancelled."""
    from satchel.gateway.store.webhook_changes import set_webhook_enabled

    row = _act(set_webhook_enabled, identifier, account, config, enabled=False)
    typer.echo(f"{printable(row.name)} is off.")


@app.command("pause")
def pause_webhook(
    identifier: WebhookIdentifier,
    note: Annotated[str, typer.Option("--note", help="Why, for those who look later.")] = "Paused by hand.",
    account: OfAccount = None,
    config: ConfigFile = None,
) -> None:
    """Send nothing more to a webhook for the time being, and keep what is for it."""
    from satchel.gateway.store.webhook_changes import pause_webhook

    row = _act(pause_webhook, identifier, account, config, note=note)
    typer.echo(f"{printable(row.name)} is paused: {printable(row.pause_note or '')}")


@app.command("resume")
def resume_webhook(identifier: WebhookIdentifier, account: OfAccount = None, config: ConfigFile = None) -> None:
    """End a webhook's pause: what has waited for it is sent now, in its order."""
    from satchel.gateway.store.webhook_changes import resume_webhook

    row = _act(resume_webhook, identifier, account, config)
    off = "" if row.enabled else f" It is off: satchel gateway webhooks enable {row.webhook_id}"
    typer.echo(f"{printable(row.name)} is not paused.{off}")


@app.command("remove")
def remove_webhook(identifier: WebhookIdentifier, account: OfAccount = None, config: ConfigFile = None) -> None:
    """Remove a webhook and forget its secret; the record of its deliveries stays."""
    from satchel.gateway.store.webhook_changes import remove_webhook

    row = _act(remove_webhook, identifier, account, config)
    typer.echo(f"{printable(row.name)} is removed.")


def _act(
    act: "Callable[..., WebhookRow]", identifier: str, account: str | None, config: Path | None, **more: object
) -> "WebhookRow":
    with open_office(config) as office:
        account_id = office.account_id(account)
        return act(office.engine, identifier, account_id=account_id, actor=office.actor, **more)


def _say(text: str) -> None:
    typer.echo(printable(text), err=True)


def _state(row: "WebhookRow") -> str:
    if not row.enabled:
        return "off"
    return "on" if row.paused_at is None else "paused"


def _secret_state(row: "WebhookRow") -> str:
    return "changing" if row.has_next_secret else _yes(row.has_secret)


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _pause_reminder(row: "WebhookRow") -> str:
    if row.paused_at is None:
        return ""
    return f" It is paused ({printable(row.pause_note or '-')}): satchel gateway webhooks resume {row.webhook_id}"
