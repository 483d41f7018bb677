"""`satchel mailboxes` and `satchel messages`: what a key may see, and which messages came, with their ids."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from satchel.cli.api_access import ABOUT_MAILBOXES, AllowHttp, ApiKey, ServerUrl, connected
from satchel.cli.durations import parse_past
from satchel.cli.grouped import grouped
from satchel.cli.output import CommandError, print_json, print_json_line, print_table, printable
from satchel.client import AsyncClient
from satchel.contract.mailboxes import Mailbox, MailboxList
from satchel.contract.reports import ReceivedMessage


@dataclass(frozen=True, slots=True)
class Server:
    """Where the calls go, and with which key."""

    url: ServerUrl
    api_key: ApiKey
    allow_http: AllowHttp = False

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncClient]:
        async with connected(self.url, self.api_key, allow_http=self.allow_http, about=ABOUT_MAILBOXES) as client:
            yield client


@grouped
def mailboxes(
    server: Server,
    json: Annotated[bool, typer.Option("--json", help="The list as the API gives it.")] = False,
) -> None:
    """List the mailboxes that the key may see."""
    found = asyncio.run(_mailboxes(server))
    if json:
        print_json(MailboxList(found))
        return
    print_table(
        ("ADDRESS", "NAME", "TIME ZONE", "ACTIVE", "ID"),
        [
            (each.mailbox_email, each.mailbox_name, each.time_zone, "yes" if each.active else "no", each.mailbox_id)
            for each in found
        ],
        empty="The key may see no mailbox.",
    )


async def _mailboxes(server: Server) -> list[Mailbox]:
    async with server.client() as client:
        return await client.mailboxes()


@grouped
def messages(
    server: Server,
    mailbox: Annotated[
        str, typer.Option("--mailbox", metavar="MAILBOX", help="Its address or id, as `satchel mailboxes` lists it.")
    ],
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Received at or after it: 7d ago, or an instant (RFC 3339).")
    ],
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Received at or before it; likewise.")
    ] = None,
    participants: Annotated[bool, typer.Option("--participants", help="With `to` and `cc`, in JSON.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON lines, each as a row of the API.")] = False,
) -> None:
    """List the messages that a mailbox received, with the ids that `ls`, `fetch` and `archive` take.

    A line each, as they come: when it was received, its id, whether it has attachments, its sender, its subject. The
    list is as the gateway's index has it, in the order in which that took them in.
    """
    now = datetime.now(UTC)
    try:
        first, last = parse_past(since, now), None if until is None else parse_past(until, now)
    except ValueError as error:
        raise CommandError(str(error)) from None

    async def run(tell: Callable[[ReceivedMessage], None]) -> int:
        count = 0
        async with (
            server.client() as client,
            aclosing(client.messages(mailbox, first, last, participants=participants)) as rows,
        ):
            async for row in rows:
                tell(row)
                count += 1
        return count

    if asyncio.run(run(print_json_line if json else _print_line)) == 0 and not json:
        typer.echo("No messages.")


def _print_line(row: ReceivedMessage) -> None:
    received = row.received.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sender = row.from_.email_address.address or row.sender.email_address.address or "-"
    files = "files" if row.has_attachments else "-    "
    typer.echo("  ".join(printable(cell) for cell in (received, row.message_id, files, sender, row.subject)).rstrip())
