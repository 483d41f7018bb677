"""`satchel gateway deliveries`: what became of every announcement, and sending it again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.durations import parse_past
from satchel.cli.gateway.administration import Json, OfAccount, Office, open_office
from satchel.cli.grouped import grouped
from satchel.cli.output import CommandError, print_json, print_json_line, print_table, printable
from satchel.gateway.webhooks.decision import DeliveryStatus

if TYPE_CHECKING:
    from satchel.gateway.store.history import Asked, Attempt, DeliveryRow

_ASK_ABOVE = 100
_Webhook = Annotated[
    str | None, typer.Option("--webhook", metavar="WEBHOOK", help="Only to this one, by its id or name.")
]
_Mailbox = Annotated[str | None, typer.Option("--mailbox", metavar="ADDRESS", help="Only of this mailbox.")]

app = typer.Typer(help="Deliveries: what was announced to webhooks, and how that went.", no_args_is_help=True)

DeliveryId = Annotated[str, typer.Argument(metavar="DELIVERY", help="Its id, which is its webhook-id on the wire too.")]


@dataclass(frozen=True, slots=True)
class _Filters:
    webhook: _Webhook = None
    mailbox: _Mailbox = None
    status: Annotated[list[DeliveryStatus] | None, typer.Option("--status", help="Only those; may be repeated.")] = None
    message: Annotated[
        str | None, typer.Option("--message", metavar="ID", help="Only of the message with this id.")
    ] = None
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Begun at or after it: 24h ago, or an instant.")
    ] = None
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Begun before it; likewise.")] = None
    account: OfAccount = None

    def asked(self, office: Office) -> "Asked":
        """What is asked of the store. Raises LookupError or ValueError, with advice."""
        now = datetime.now(UTC)
        return replace(
            _asked(office, self.account, self.webhook, self.mailbox),
            statuses=self.status or (),
            message_id=self.message,
            since=None if self.since is None else parse_past(self.since, now),
            until=None if self.until is None else parse_past(self.until, now),
        )


@app.command("list")
@grouped
def list_deliveries(
    filters: _Filters,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Only the last so many.")] = 100,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """List deliveries, the newest last. For all there are, take `export`."""
    from satchel.gateway.store import history

    with open_office(config) as office:
        rows = history.list_deliveries(office.engine, filters.asked(office), limit)
        if json:
            print_json(rows)
            return
        office.print_rows(
            ("CREATED", "DELIVERY", "WEBHOOK", "MAILBOX", "STATUS", "ATTEMPTS", "ANSWER", "MESSAGE"),
            [(row.account, _cells(row)) for row in rows],
            empty="None that fit.",
        )


@app.command("show")
def show_delivery(
    delivery: DeliveryId, account: OfAccount = None, json: Json = False, config: ConfigFile = None
) -> None:
    """Show a delivery with each of its attempts and what was answered."""
    from satchel.gateway.store import history

    with open_office(config) as office:
        told = history.find_delivery(office.engine, delivery, office.account_id(account))
    if json:
        print_json(told)
        return
    row = told.delivery
    facts = (
        ("delivery", row.delivery_id),
        ("account", row.account),
        ("webhook", f"{row.webhook} ({row.webhook_id})"),
        ("mailbox", row.mailbox),
        ("message", row.message_id),
        ("rule", row.rule_id or "-"),
        ("status", _status(row)),
        ("created", _second(row.created_at)),
        ("next attempt", _second(row.next_attempt_at)),
        ("ended", _second(row.finished_at)),
    )
    print_table(("FACT", "VALUE"), facts, empty="")
    typer.echo()
    print_table(
        ("ATTEMPT", "STARTED", "ENDED", "STATUS", "ERROR"),
        [_attempt_cells(attempt) for attempt in told.attempts],
        empty="No attempts so far.",
    )
    for attempt in told.attempts:
        _print_answer(attempt)


@app.command("resend")
def resend(
    delivery: Annotated[list[str], typer.Argument(metavar="DELIVERY...", help="Ids of deliveries, of any status.")],
    account: OfAccount = None,
    config: ConfigFile = None,
) -> None:
    """Send deliveries again, all or none, with the same webhook-id and all attempts before them."""
    from satchel.gateway.store import resending

    with open_office(config) as office:
        rows = resending.resend(office.engine, delivery, account_id=office.account_id(account), actor=office.actor)
    for row in rows:
        typer.echo(f"{row.delivery_id} is due now.{_waits(row)}")


@app.command("resend-failed")
def resend_failed(
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Given up at or after it: 24h ago, or an instant.")
    ],
    webhook: _Webhook = None,
    mailbox: _Mailbox = None,
    account: OfAccount = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=f"Do not ask, also for more than {_ASK_ABOVE}.")] = False,
    config: ConfigFile = None,
) -> None:
    """Send again what failed or was rejected, oldest message first; each with all attempts before it."""
    from satchel.gateway.store import resending

    with open_office(config) as office:
        asked = replace(_asked(office, account, webhook, mailbox), finished_since=parse_past(since, datetime.now(UTC)))
        count = resending.count_undelivered(office.engine, asked)
        if count.sendable > _ASK_ABOVE and not yes:
            _ask(count.sendable)
        sent = resending.resend_undelivered(office.engine, asked, actor=office.actor)
    typer.echo(f"{sent} deliveries are due now.")
    if count.others:
        typer.echo(
            f"{count.others} more cannot be sent: their webhooks are off, were removed or lost the mailbox.", err=True
        )


@app.command("export")
@grouped
def export(filters: _Filters, config: ConfigFile = None) -> None:
    """Write deliveries with their attempts to stdout, oldest first, one JSON object in a line."""
    from satchel.gateway.store import history

    with open_office(config) as office:
        for told in history.export_deliveries(office.engine, filters.asked(office)):
            print_json_line(told)


def _asked(office: Office, account: str | None, webhook: str | None, mailbox: str | None) -> "Asked":
    from satchel.gateway.store.history import Asked, webhooks_called
    from satchel.gateway.store.mailboxes import normal_address

    account_id = office.account_id(account)
    return Asked(
        account_id=account_id,
        webhook_ids=None if webhook is None else webhooks_called(office.engine, webhook, account_id),
        mailbox=None if mailbox is None else normal_address(mailbox),
    )


def _ask(count: int) -> None:
    try:
        is_wanted = typer.confirm(f"Send {count} deliveries again?", err=True)
    except typer.Abort:
        raise CommandError("Nothing was sent, since nobody answered. With --yes nobody is asked.") from None
    if not is_wanted:
        raise CommandError("Nothing was sent.")


def _cells(row: "DeliveryRow") -> Sequence[str]:
    answer = row.last_error or ("-" if row.last_status_code is None else str(row.last_status_code))
    attempts = str(row.attempts)
    where = (row.webhook, row.mailbox)
    return _second(row.created_at), row.delivery_id, *where, row.status, attempts, answer, row.message_id


def _attempt_cells(attempt: "Attempt") -> Sequence[str]:
    status = "-" if attempt.status_code is None else str(attempt.status_code)
    times = (_second(attempt.started_at), _second(attempt.finished_at))
    return str(attempt.number), *times, status, attempt.error or "-"


def _print_answer(attempt: "Attempt") -> None:
    if not attempt.answer:
        return
    typer.echo(f"\nAnswer to attempt {attempt.number}:")
    for line in attempt.answer.splitlines():
        typer.echo(f"  {printable(line)}")


def _status(row: "DeliveryRow") -> str:
    counted = f"{row.attempts} attempt{'' if row.attempts == 1 else 's'} counted"
    return f"{row.status}, {counted}{'; its webhook is paused' if _is_held(row) else ''}"


def _is_held(row: "DeliveryRow") -> bool:
    return row.webhook_paused and row.status is DeliveryStatus.PENDING


def _waits(row: "DeliveryRow") -> str:
    if not _is_held(row):
        return ""
    return f" It waits, since its webhook is paused: satchel gateway webhooks resume {row.webhook_id}"


def _second(instant: datetime | None) -> str:
    return "-" if instant is None else instant.strftime("%Y-%m-%d %H:%M:%S UTC")
