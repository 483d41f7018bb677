"""`satchel gateway master-key`: the key that webhook secrets are sealed with is made, looked at, and changed."""

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.gateway.administration import Office, open_office
from satchel.cli.output import CommandError
from satchel.gateway.sealing import MASTER_KEY, MasterKey, new_master_key

app = typer.Typer(help="The master key, which seals the secrets of webhooks.", no_args_is_help=True)


@app.command("new")
def new() -> None:
    """Make a master key and print it, alone, on stdout. It is stored nowhere: keep it, apart from the database."""
    typer.echo(
        f"Set {MASTER_KEY}, or {MASTER_KEY}_FILE to a file with it, for the gateway and these commands. Keep a copy "
        "apart from the database's backups: together they give the secrets away, and without it these are lost.",
        err=True,
    )
    typer.echo(new_master_key())


@app.command("check")
def check(config: ConfigFile = None) -> None:
    """Say whether the master key opens all secrets, and whether older keys behind it are still needed.

    Exit status 1 where one does not open.
    """
    from satchel.gateway.store import secrets

    with open_office(config) as office:
        found = secrets.look_at_secrets(office.engine, office.master_key())
    if found.unreadable:
        raise CommandError(secrets.advice_on(found.unreadable))
    if found.count == 0:
        typer.echo("There are no secrets to be opened.")
        return
    typer.echo(f"The master key opens all secrets that there are: {found.count}.")
    if found.by_first_key < found.count:
        typer.echo(
            f"{found.count - found.by_first_key} of them with an older key, behind the first. To seal them with the "
            "first: satchel gateway master-key rotate"
        )


@app.command("rotate")
def rotate(config: ConfigFile = None) -> None:
    """Seal all secrets with the first of the master keys; the others are needed no more afterwards.

    Set SATCHEL_MASTER_KEY to the new key, a comma, and the old one, start the gateway with it, then do this.
    """
    from satchel.gateway.store import secrets

    with open_office(config) as office:
        resealed = secrets.reseal(office.engine, _needed(office), actor=office.actor)
    typer.echo(
        f"Sealed {resealed} secret{'' if resealed == 1 else 's'} anew. Only the first of the keys in {MASTER_KEY} is "
        "needed now; an older backup of the database needs the old one."
    )


def _needed(office: Office) -> MasterKey:
    master_key = office.master_key()
    if master_key is None:
        raise CommandError(f"{MASTER_KEY} is not set: set it to the new key, a comma, and the old one.")
    return master_key
