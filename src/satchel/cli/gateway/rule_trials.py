"""`satchel gateway rules test`: the rules of a mailbox tried on a message that is there already."""

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.gateway.administration import Json, OfAccount, open_office
from satchel.cli.output import CommandError, print_json, printable
from satchel.settings import SettingsError

if TYPE_CHECKING:
    from satchel.gateway.rule_trial import ToldWebhook, Trial, TriedRule

_SAID = {
    "fires": "fires",
    "stops": "holds",
    "repeats": "holds, but its webhook has been told by a rule before it",
    "does_not_hold": "does not hold",
    "not_tried": "is not tried: a rule before it stops",
    "off": "is off",
    "unreadable": "cannot be read: name its conditions anew",
}


def try_message(
    message: Annotated[str, typer.Option("--message", metavar="ID", help="The id of a message of the index.")],
    account: OfAccount = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Say which rules would fire for a message if it arrived now, and why, and which webhooks would be told.

    Nothing is sent. Where conditions speak of attachments, the mail source is asked for them.
    """
    from satchel.gateway.rule_trial import try_rules

    # What the library for tokens says of a refusal is told in our words.
    logging.getLogger("azure").addHandler(logging.NullHandler())
    with open_office(config) as office:
        try:
            trial = asyncio.run(try_rules(office.engine, office.accounts, message, office.account_id(account)))
        except SettingsError as error:
            raise CommandError(str(error)) from None
    if json:
        print_json(trial)
        return
    for line in _lines(trial):
        typer.echo(printable(line))


def _lines(trial: "Trial") -> list[str]:
    lines = [f"A message of {trial.mailbox} (account {trial.account})"]
    if trial.note is not None:
        lines.append(trial.note)
    for rule in trial.rules:
        lines += ["", f"{rule.position}. {rule.name} {_SAID[rule.outcome]}{_stop(rule)}"]
        lines += [f"   {'ok' if each.holds else 'no':<3} {each.condition}: {each.reason}" for each in rule.findings]
        if not rule.findings and rule.outcome != "unreadable":
            lines.append("   ok  It has no conditions.")
    lines += ["", "Told would be:" if trial.webhooks else "No webhook would be told."]
    names = {rule.rule_id: rule.name for rule in trial.rules}
    lines += [f"   {_told(each, names)}" for each in trial.webhooks]
    return lines + [f"{name} would be told, but is off." for name in trial.webhooks_off]


def _stop(rule: "TriedRule") -> str:
    return ", and stops" if rule.stopped_here else ""


def _told(webhook: "ToldWebhook", names: dict[str, str]) -> str:
    why = "of everything" if webhook.rule_id is None else f"by rule {names[webhook.rule_id]}"
    fields = "".join(f" {name}={value}" for name, value in (webhook.custom_fields or {}).items())
    return f"{webhook.name}, {why}{fields}{' (once its pause has ended)' if webhook.waits else ''}"
