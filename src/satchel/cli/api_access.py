"""How commands reach an API: the options that name the server and the key, and its failures told to people."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import typer

from satchel.cli.output import CommandError, printable
from satchel.client import CALL_ERRORS, Ambience, AsyncClient
from satchel.contract.errors import Forbidden, NotFound, Reason, Unauthorized

ServerUrl = Annotated[
    str,
    typer.Option("--url", envvar="SATCHEL_URL", help="The server, with or without /api/v1 at the end."),
]
ApiKey = Annotated[
    str,
    typer.Option(
        "--api-key",
        envvar="SATCHEL_API_KEY",
        help="The API key. Better in the environment: others on this machine can see arguments.",
    ),
]
AllowHttp = Annotated[
    bool,
    typer.Option(
        "--allow-http",
        envvar="SATCHEL_ALLOW_HTTP",
        help="Send the key over plain HTTP also beyond this machine, where the network between is private.",
    ),
]
MessageId = Annotated[
    str, typer.Argument(metavar="MESSAGE_ID", help="The message's id: `id` of a webhook, `messageId` of a report.")
]


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about failures that mean something else for each kind of command."""

    not_found: str
    missing_scope: str


ABOUT_A_MESSAGE = Advice(
    not_found="Check the message id, and that the key may use the message's mailbox.",
    missing_scope="The key needs messages:read to list and messages:content to download.",
)
ABOUT_MAILBOXES = Advice(
    not_found="Check the mailbox's address or id: `satchel mailboxes` lists those that the key may see.",
    missing_scope="The key needs reporting, and for messages also messages:read.",
)


def explain(failure: Exception, about: Advice = ABOUT_A_MESSAGE) -> str:
    """A failed call or write in one line that is safe for a terminal, with what to do."""
    if isinstance(failure, OSError) and not isinstance(failure, CALL_ERRORS):
        return printable(f"{failure.filename or 'The file'} cannot be written: {failure.strerror}.")
    message = printable(str(failure))
    if isinstance(failure, Unauthorized):
        return f"{message} Check SATCHEL_API_KEY: it may be cut off, expired or deleted."
    if isinstance(failure, NotFound):
        return f"{message} {about.not_found}"
    if isinstance(failure, Forbidden) and failure.reason == Reason.MISSING_SCOPE:
        return f"{message} {about.missing_scope}"
    return message


def _to_stderr(text: str) -> None:
    typer.echo(text, err=True)


@asynccontextmanager
async def connected(
    url: str,
    api_key: str,
    *,
    allow_http: bool,
    notice: Callable[[str], None] = _to_stderr,
    about: Advice = ABOUT_A_MESSAGE,
) -> AsyncIterator[AsyncClient]:
    """A client for one command. Long waits are told through `notice`; failures come out as CommandError."""

    async def sleep(seconds: float) -> None:
        if seconds >= 2:
            notice(f"Waiting {seconds:.0f} s before the next call.")
        await asyncio.sleep(seconds)

    try:
        async with AsyncClient(url, api_key, allow_http=allow_http, ambience=Ambience(sleep=sleep)) as client:
            yield client
    except CALL_ERRORS as failure:
        raise CommandError(explain(failure, about)) from None
