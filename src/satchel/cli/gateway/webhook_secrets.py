"""`satchel gateway webhooks secret`: a webhook's secret is given, or changed over to the next one.

A secret is never an argument, since others on the machine can see those.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.gateway.administration import OfAccount, Office, WebhookIdentifier, open_office
from satchel.cli.grouped import grouped
from satchel.cli.output import CommandError, printable
from satchel.contract.signing import new_secret
from satchel.settings import SettingsError, read_secret

if TYPE_CHECKING:
    from satchel.gateway.store.webhooks import WebhookRow

_VARIABLE = "SATCHEL_WEBHOOK_SECRET"
_ADVISED_CHARACTERS = 16

app = typer.Typer(help="The secret by which a receiver knows who calls it.", no_args_is_help=True)

SecretFile = Annotated[
    Path | None,
    typer.Option("--secret-file", metavar="FILE", help=f"The secret in a file; or set {_VARIABLE}, or its _FILE."),
]


@dataclass(frozen=True, slots=True)
class SecretOptions:
    """Where a secret comes from, if there is to be one."""

    secret_file: SecretFile = None
    no_secret: Annotated[
        bool, typer.Option("--no-secret", help="Without a secret: the receiver cannot tell who calls it.")
    ] = False


@dataclass(frozen=True, slots=True)
class ChosenSecret:
    """`text` None: there is to be none. `source` None: it was made here."""

    text: str | None = field(repr=False)
    source: str | None = None


def choose_secret(options: SecretOptions) -> ChosenSecret:
    """The secret of the file, or of the environment, or a fresh one. Raises CommandError."""
    if options.no_secret and options.secret_file is not None:
        raise CommandError("--secret-file and --no-secret exclude each other: leave one out.")
    if options.no_secret:
        return ChosenSecret(None)
    if options.secret_file is not None:
        try:
            return ChosenSecret(options.secret_file.read_text("utf-8").strip(), str(options.secret_file))
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"--secret-file: the file cannot be read: {error}.") from None
    try:
        given = read_secret(_VARIABLE)
    except SettingsError as error:
        raise CommandError(str(error)) from None
    return ChosenSecret(new_secret()) if given is None else ChosenSecret(given, _VARIABLE)


def tell_secret(chosen: ChosenSecret, name: str = "Its secret") -> None:
    """A secret that was made, alone on stdout; what there is to say beside it on stderr."""
    if chosen.text is None:
        typer.echo("It has no secret: the receiver cannot tell who calls it.", err=True)
        return
    if chosen.source is None:
        typer.echo(f"{name} is shown this once. Give it to the receiver:", err=True)
        typer.echo(chosen.text)
        return
    typer.echo(f"{name} is that of {printable(chosen.source)}.", err=True)
    if len(chosen.text) < _ADVISED_CHARACTERS:
        advice = f"It is short: with {_ADVISED_CHARACTERS} characters or more it is harder to guess."
        typer.echo(advice, err=True)


def warn_of_unreadable_secrets(office: Office, chosen: ChosenSecret) -> None:
    """A secret that was sealed with another master key than the rest keeps the gateway from starting."""
    from satchel.gateway.store.secrets import advice_on, unreadable_secrets

    unreadable = [] if chosen.text is None else unreadable_secrets(office.engine, office.master_key())
    if unreadable:
        typer.echo(f"With this master key the gateway does not start. {advice_on(unreadable)}", err=True)


@app.command("set")
@grouped
def set_secret(
    identifier: WebhookIdentifier, secret: SecretOptions, account: OfAccount = None, config: ConfigFile = None
) -> None:
    """Give a webhook another secret from the next attempt on; `rotate` changes it without a refused delivery."""
    from satchel.gateway.store import secrets

    chosen = choose_secret(secret)
    with open_office(config) as office:
        row = secrets.set_secret(
            office.engine,
            identifier,
            chosen.text,
            master_key=office.master_key(),
            account_id=office.account_id(account),
            actor=office.actor,
        )
        warn_of_unreadable_secrets(office, chosen)
    _say_of(row, "has another secret." if row.has_secret else "has no secret any more.")
    tell_secret(chosen)
    if row.paused_at is not None:
        typer.echo(
            "It is paused. Once its receiver has the secret: satchel gateway webhooks resume " + row.webhook_id,
            err=True,
        )


@app.command("rotate")
def rotate_secret(
    identifier: WebhookIdentifier,
    secret_file: SecretFile = None,
    account: OfAccount = None,
    config: ConfigFile = None,
) -> None:
    """Begin to change a webhook's secret: from now on the next one signs too, and the old one stays the Bearer token.

    Give the next one to the receiver, which accepts both for a while; then `finish`, or `cancel`.
    """
    from satchel.gateway.store import secrets

    chosen = choose_secret(SecretOptions(secret_file))
    assert chosen.text is not None
    with open_office(config) as office:
        row = secrets.rotate_secret(
            office.engine,
            identifier,
            chosen.text,
            master_key=office.master_key(),
            account_id=office.account_id(account),
            actor=office.actor,
        )
    _say_of(row, "is signed for by two secrets now.")
    tell_secret(chosen, "The next secret")
    typer.echo(
        f"Once its receiver accepts it beside the old one: satchel gateway webhooks secret finish {row.webhook_id}",
        err=True,
    )


@app.command("finish")
def finish_rotation(identifier: WebhookIdentifier, account: OfAccount = None, config: ConfigFile = None) -> None:
    """End the change of a webhook's secret: the next one takes its place, also as the Bearer token."""
    from satchel.gateway.store import secrets

    with open_office(config) as office:
        account_id = office.account_id(account)
        row = secrets.finish_rotation(office.engine, identifier, account_id=account_id, actor=office.actor)
    typer.echo(f"{printable(row.name)} has its next secret alone; the old one is forgotten.")


@app.command("cancel")
def cancel_rotation(identifier: WebhookIdentifier, account: OfAccount = None, config: ConfigFile = None) -> None:
    """Give up the change of a webhook's secret: it stays as it was, and the next one is forgotten."""
    from satchel.gateway.store import secrets

    with open_office(config) as office:
        account_id = office.account_id(account)
        row = secrets.cancel_rotation(office.engine, identifier, account_id=account_id, actor=office.actor)
    typer.echo(f"{printable(row.name)} has its old secret alone; the next one is forgotten.")


def _say_of(row: "WebhookRow", what: str) -> None:
    typer.echo(f"{printable(row.name)} {what}", err=True)
