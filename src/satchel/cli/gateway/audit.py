"""`satchel gateway audit`: the audit trail."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.durations import parse_duration
from satchel.cli.gateway.administration import Json, OfAccount, open_office
from satchel.cli.output import print_json
from satchel.gateway.audit.actions import Action

if TYPE_CHECKING:
    from satchel.gateway.store.audit import AuditEvent

_TABLE_ROWS = 1000


def audit(
    account: OfAccount = None,
    since: Annotated[str, typer.Option(metavar="SPAN", help="How far back, such as 24h or 90d.")] = "24h",
    action: Annotated[Action | None, typer.Option(help="Only this.")] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Only what a key did and what was done to it, by its short identifier or id."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="Only the last so many rows; 0: all. By default 1000, and with --json all."),
    ] = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Show what administrators did and which calls were refused, the newest last; ids and counts only."""
    from satchel.gateway.store.audit import list_events
    from satchel.gateway.store.keys import find_key

    if limit is None and not json:
        limit = _TABLE_ROWS
    with open_office(config) as office:
        account_id = office.account_id(account)
        events = list_events(
            office.engine,
            since=datetime.now(UTC) - parse_duration(since),
            account_id=account_id,
            action=action,
            key_id=None if key is None else find_key(office.engine, key, account_id).key_id,
            limit=limit or None,
        )
        if json:
            print_json(events)
            return
        office.print_rows(
            ("AT", "ACTOR", "ACTION", "SUBJECT", "STATUS", "REASON", "COUNT", "ROUTE", "REQUEST"),
            [(event.account, _cells(event)) for event in events],
            empty=f"Nothing in the last {since}.",
        )


def _cells(event: "AuditEvent") -> tuple[str, ...]:
    status = "-" if event.status is None else str(event.status)
    at = event.at.strftime("%Y-%m-%d %H:%M:%S UTC")
    rest = (event.route or "-", event.request_id or "-")
    return at, event.actor, event.action, event.subject_id or "-", status, event.reason or "-", str(event.count), *rest
