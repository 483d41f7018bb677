"""`satchel gateway rules`: rules are added, listed, shown, changed, moved, switched on and off, removed and tried."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.gateway import rule_trials
from satchel.cli.gateway.administration import IN_DEFAULT_ACCOUNT, InAccount, Json, OfAccount, open_office
from satchel.cli.gateway.rule_options import ChangedOptions, RuleOptions, WhenOptions, changed_fields, draft
from satchel.cli.grouped import grouped
from satchel.cli.output import moment, print_json, print_table, printable

if TYPE_CHECKING:
    from satchel.gateway.store.rules import RuleRow

app = typer.Typer(help="Rules: which arrivals webhooks are told of, and with what.", no_args_is_help=True)
app.command("test")(rule_trials.try_message)

RuleIdentifier = Annotated[str, typer.Argument(metavar="RULE", help="Its id or name, as `rules list` shows it.")]


@app.command("add")
@grouped
def add_rule(
    name: Annotated[str, typer.Argument(help="A label for people.")],
    mailbox: Annotated[str, typer.Option("--mailbox", metavar="ADDRESS", help="The mailbox whose mail it is for.")],
    when: WhenOptions,
    options: RuleOptions,
    account: InAccount = IN_DEFAULT_ACCOUNT,
    config: ConfigFile = None,
) -> None:
    """Add a rule behind the others of its mailbox. All conditions that are named must hold; where none is, any message
    will do."""
    from satchel.gateway.store import rules

    with open_office(config) as office:
        row = rules.add_rule(office.engine, mailbox, draft(name, when, options), acting=office.acting(account))
    typer.echo(f"{printable(row.name)} is added as {row.rule_id}, number {row.position} of {row.mailbox}.")


@app.command("list")
def list_rules(
    mailbox: Annotated[
        str | None, typer.Option("--mailbox", metavar="ADDRESS", help="Of this mailbox only; by default of all.")
    ] = None,
    account: OfAccount = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """List the rules, those of a mailbox in the order in which they are tried."""
    from satchel.gateway.store import rules

    with open_office(config) as office:
        rows = rules.list_rules(office.engine, office.account_id(account), mailbox)
        if json:
            print_json(rows)
            return
        office.print_rows(
            ("MAILBOX", "ORDER", "NAME", "STATE", "WEBHOOK", "STOPS", "CONDITIONS", "ID"),
            [(row.account, _cells(row)) for row in rows],
            empty="No rules. Add one: satchel gateway rules add",
        )


@app.command("show")
def show_rule(
    identifier: RuleIdentifier, account: OfAccount = None, json: Json = False, config: ConfigFile = None
) -> None:
    """Show all that is known of a rule."""
    from satchel.gateway.store import rules

    with open_office(config) as office:
        row = rules.find_rule(office.engine, identifier, office.account_id(account))
    if json:
        print_json(row)
        return
    facts = (
        ("id", row.rule_id),
        ("name", row.name),
        ("account", row.account),
        ("mailbox", row.mailbox),
        ("order", str(row.position)),
        ("state", _state(row)),
        *(("condition", words) for words in _conditions(row)),
        ("webhook", row.webhook or "-"),
        *(("custom field", f"{name}={value}") for name, value in row.custom_fields.items()),
        ("stops", "yes" if row.stop else "no"),
        ("created", moment(row.created_at)),
        ("created by", row.created_by or "-"),
    )
    print_table(("FACT", "VALUE"), facts, empty="")


@app.command("change")
@grouped
def change_rule(
    identifier: RuleIdentifier,
    when: WhenOptions,
    options: ChangedOptions,
    account: OfAccount = None,
    config: ConfigFile = None,
) -> None:
    """Change what is named, from the next arrival on. Conditions are named anew all together, and so are custom
    fields."""
    from satchel.gateway.store import rules

    with open_office(config) as office:
        fields = changed_fields(when, options)
        account_id = office.account_id(account)
        row = rules.change_rule(office.engine, identifier, fields, account_id=account_id, actor=office.actor)
    typer.echo(f"{printable(row.name)} is changed.")


@app.command("move")
def move_rule(
    identifier: RuleIdentifier,
    position: Annotated[int, typer.Option("--to-position", min=1, help="Where among the mailbox's rules, from 1.")],
    account: OfAccount = None,
    config: ConfigFile = None,
) -> None:
    """Try a rule earlier or later."""
    from satchel.gateway.store import rules

    with open_office(config) as office:
        account_id = office.account_id(account)
        row = rules.move_rule(office.engine, identifier, position, account_id=account_id, actor=office.actor)
    typer.echo(f"{printable(row.name)} is number {row.position} of {row.mailbox}.")


@app.command("enable")
def enable_rule(identifier: RuleIdentifier, account: OfAccount = None, config: ConfigFile = None) -> None:
    """Switch a rule on again, in its old place."""
    from satchel.gateway.store.rules import set_rule_enabled

    row = _act(set_rule_enabled, identifier, account, config, enabled=True)
    typer.echo(f"{printable(row.name)} is on.")


@app.command("disable")
def disable_rule(identifier: RuleIdentifier, account: OfAccount = None, config: ConfigFile = None) -> None:
    """Switch a rule off: it tells nobody and stops nothing. What it has announced already is sent."""
    from satchel.gateway.store.rules import set_rule_enabled

    row = _act(set_rule_enabled, identifier, account, config, enabled=False)
    typer.echo(f"{printable(row.name)} is off.")


@app.command("remove")
def remove_rule(identifier: RuleIdentifier, account: OfAccount = None, config: ConfigFile = None) -> None:
    """Remove a rule. What it has announced already is sent, and stays in the history."""
    from satchel.gateway.store.rules import remove_rule

    row = _act(remove_rule, identifier, account, config)
    typer.echo(f"{printable(row.name)} is removed.")


def _act(
    act: "Callable[..., RuleRow]", identifier: str, account: str | None, config: Path | None, **more: object
) -> "RuleRow":
    with open_office(config) as office:
        account_id = office.account_id(account)
        return act(office.engine, identifier, account_id=account_id, actor=office.actor, **more)


def _cells(row: "RuleRow") -> tuple[str, ...]:
    stops = "yes" if row.stop else "no"
    conditions = "; ".join(_conditions(row))
    return row.mailbox, str(row.position), row.name, _state(row), row.webhook or "-", stops, conditions, row.rule_id


def _conditions(row: "RuleRow") -> list[str]:
    from satchel.gateway.rules.wording import condition_words

    if row.conditions is None:
        return ["cannot be read: name them anew"]
    return list(condition_words(row.conditions)) or ["any message"]


def _state(row: "RuleRow") -> str:
    return "on" if row.enabled else "off"
