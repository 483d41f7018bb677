"""`satchel gateway mailboxes`: which mailboxes there are, what is told of them, and their past."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.durations import parse_past
from satchel.cli.gateway.administration import (
    IN_DEFAULT_ACCOUNT,
    InAccount,
    Json,
    OfAccount,
    open_office,
)
from satchel.cli.output import CommandError, moment, print_json, printable

if TYPE_CHECKING:
    from satchel.gateway.backfill import Backfilled

app = typer.Typer(help="The mailboxes that the gateway knows.", no_args_is_help=True)

_TOLD_EVERY_MESSAGES = 1_000


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


@app.command("change")
def change_mailbox(
    address: Annotated[str, typer.Argument(help="The mailbox's address.")],
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="IANA name of the mailbox's time zone.")] = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Whether clients are told that it is in use.")
    ] = None,
    account: Annotated[str, typer.Option("--account", metavar="NAME", help="The account that it is in.")] = (
        IN_DEFAULT_ACCOUNT
    ),
    config: ConfigFile = None,
) -> None:
    """Change what clients are told of a mailbox (GET /api/v1/admin/mailboxes). Its mail is read as before."""
    from satchel.gateway.store import mailboxes

    with open_office(config) as office:
        row = mailboxes.change_mailbox(
            office.engine, address, name=name, time_zone=time_zone, active=active, acting=office.acting(account)
        )
    state = "active" if row.active else "inactive"
    typer.echo(printable(f"{row.address} is named {row.name!r}, in {row.time_zone}, {state}."))


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
            ("ADDRESS", "NAME", "TIME ZONE", "ACTIVE", "INDEXED"),
            [
                (
                    row.account,
                    (row.address, row.name, row.time_zone, "yes" if row.active else "no", moment(row.indexed_at)),
                )
                for row in rows
            ],
            empty="No mailboxes. Put one into the mail folder, or add one.",
        )


@app.command("index")
def index_mailboxes(
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="How far back, such as 90d, or an instant (RFC 3339).")
    ],
    mailbox: Annotated[
        list[str] | None,
        typer.Option("--mailbox", metavar="ADDRESS", help="This mailbox only; may be repeated. By default all."),
    ] = None,
    account: OfAccount = None,
    config: ConfigFile = None,
) -> None:
    """Index what mailboxes received before the gateway watched them, so that reports tell of it.

    It announces nothing, and keeps nothing from being announced. It may be done while the gateway runs, and again. The
    exit status is 1 if a mailbox could not be read; what could be is indexed all the same.
    """
    from satchel.gateway.backfill import backfill
    from satchel.gateway.store.mailboxes import normal_address

    # What the library for tokens says of a refusal is told in our words.
    logging.getLogger("azure").addHandler(logging.NullHandler())
    with open_office(config) as office:
        if account is not None:
            # Raises for one that the settings do not name.
            office.acting(account)
        now = datetime.now(UTC)
        results = asyncio.run(
            backfill(
                office.engine,
                {name: each for name, each in office.accounts.items() if account in {None, name}},
                office.ids,
                {normal_address(address) for address in mailbox or ()},
                since=parse_past(since, now),
                now=now,
                on_progress=_Progress(with_account=len(office.accounts) > 1).tell,
            )
        )
        _tell_outcome(results, with_account=len(office.accounts) > 1)


class _Progress:
    """A line on stderr for every thousand messages of a mailbox."""

    def __init__(self, *, with_account: bool) -> None:
        self._with_account = with_account
        self._told: dict[tuple[str, str], int] = {}

    def tell(self, so_far: "Backfilled") -> None:
        key = (so_far.account, so_far.mailbox)
        if so_far.found >= self._told.get(key, 0) + _TOLD_EVERY_MESSAGES:
            self._told[key] = so_far.found
            typer.echo(f"{_named(so_far, self._with_account)}: {_counts(so_far)} so far", err=True)


def _tell_outcome(results: Sequence["Backfilled"], *, with_account: bool) -> None:
    """What became of each, on stderr; then the sum. Raises CommandError where any failed."""
    for each in results:
        if each.failure is None:
            typer.echo(f"{_named(each, with_account)}: {_counts(each)}", err=True)
    failed = [each for each in results if each.failure is not None]
    found, added = sum(each.found for each in results), sum(each.added for each in results)
    typer.echo(f"{len(results) - len(failed)} mailboxes read: {found} messages, {added} of them new to the index.")
    if failed:
        told = "".join(f"\n  {_named(each, with_account)}: {printable(each.failure or '')}" for each in failed)
        raise CommandError(f"{len(failed)} could not be read to the end; do it again later:{told}")


def _named(each: "Backfilled", with_account: bool) -> str:
    mailbox = each.mailbox or "all mailboxes"
    return printable(f"{each.account}: {mailbox}" if with_account else mailbox)


def _counts(each: "Backfilled") -> str:
    return f"{each.found} messages, {each.added} new"
