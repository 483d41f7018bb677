"""`satchel simulate`: a server that behaves as a real one does, with its faults, on this machine."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from satchel.cli.output import CommandError

if TYPE_CHECKING:
    from satchel.testing.graph import Faults, GraphSimulator

app = typer.Typer(name="simulate", help="Servers to test against, with the faults of the real ones.")

DEFAULT_PORT = 8443


@app.callback()
def simulate() -> None:
    """Servers to test against, with the faults of the real ones."""


@dataclass(frozen=True, slots=True)
class _Asked:
    port: int
    mail: Path | None
    mailboxes: list[str]
    refused: list[str]
    tls: bool
    tls_folder: Path | None
    seed: int


@app.command("graph")
def graph(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 for a free one.")] = (
        DEFAULT_PORT
    ),
    mail: Annotated[
        Path | None,
        typer.Option(
            "--mail",
            metavar="FOLDER",
            help="Mail to serve: a folder for each mailbox, named by its address, with .eml files or a Maildir in it; "
            ".eml files beside these go to the first --mailbox. What is put there later arrives then.",
        ),
    ] = None,
    mailbox: Annotated[
        list[str] | None, typer.Option("--mailbox", metavar="ADDRESS", help="A mailbox that is there; repeatable.")
    ] = None,
    refused: Annotated[
        list[str] | None,
        typer.Option(
            "--refused",
            metavar="ADDRESS",
            help="A mailbox that the application may not read, so that RBAC for Applications and not consent gives it "
            "Mail.Read; repeatable.",
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="NAME=VALUE",
            help="Something that is to go wrong, such as throttle=0.1 or reset=next:3,routes=content; repeatable.",
        ),
    ] = None,
    tls_folder: Annotated[
        Path | None,
        typer.Option("--tls-folder", metavar="FOLDER", help="Where ca.pem and the other certificates are written."),
    ] = None,
    tls: Annotated[bool, typer.Option("--tls/--no-tls", help="HTTPS with a certificate of its own authority.")] = True,
    seed: Annotated[
        int, typer.Option("--seed", help="Decides ids, secrets and chances: the same at each run with the same seed.")
    ] = 0,
) -> None:
    """Microsoft Graph's mail on this machine, with a token endpoint and the faults of the real one, until Ctrl-C."""
    asked = _Asked(port, mail, mailbox or ["invoices@example.com"], refused or [], tls, tls_folder, seed)
    if mail is not None and not mail.is_dir():
        raise CommandError(f"{mail} is no folder. Make it, or name another one with --mail.")
    try:
        asyncio.run(_serve(asked, _faults(fault or [])))
    except OSError as error:
        raise CommandError(f"The simulator cannot start: {error.strerror or error}.") from None


def _faults(texts: list[str]) -> "Faults":
    # Imported here, because a command should not wait for what it does not use.
    from satchel.testing.graph import Faults, parse_value

    faults = Faults()
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise CommandError(f"--fault {text}: NAME=VALUE was expected.")
        try:
            faults.set(name, parse_value(value))
        except ValueError as error:
            raise CommandError(f"--fault {text}: {error}.") from None
    return faults


async def _serve(asked: _Asked, faults: "Faults") -> None:
    from satchel.testing.graph import DropFolder, GraphSimulator

    stop = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    async with GraphSimulator(
        tls=asked.tls, faults=faults, seed=asked.seed, port=asked.port, folder=asked.tls_folder
    ) as simulator:
        for address in asked.mailboxes:
            simulator.add_mailbox(address)
        for address in asked.refused:
            simulator.add_mailbox(address, refused=True)
        if asked.refused:
            # Consent would be for the whole tenant.
            simulator.roles, simulator.exchange_roles = (), simulator.roles
        watching: asyncio.Task[None] | None = None
        if asked.mail is not None:
            drop = DropFolder(simulator, asked.mail, asked.mailboxes[0])
            await asyncio.to_thread(drop.look, at_once=True)
            watching = asyncio.create_task(drop.watch())
            watching.add_done_callback(_stop_when_ended(stop))
        _introduce(simulator, asked)
        await stop.wait()
        if watching is not None:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


def _stop_when_ended(stop: asyncio.Event) -> Callable[[object], None]:
    return lambda _: stop.set()


def _introduce(simulator: "GraphSimulator", asked: _Asked) -> None:
    """Say where it is, and how the gateway finds it."""
    readable = [each.address for each in simulator.world.mailboxes.all() if not each.refused]
    quoted = ", ".join(f'"{each}"' for each in readable)
    lines = [
        f"Graph is at {simulator.base_url}/v1.0, its controls at {simulator.base_url}/simulator.",
        "For a gateway: in satchel.toml these lines stand below the headers of these names.",
        "",
        "[gateway]",
        'source = "graph"',
        "",
        "[gateway.graph]",
        f'tenant_id = "{simulator.tenant_id}"',
        f'client_id = "{simulator.client_id}"',
        f'client_secret = "{simulator.client_secret}"',
        f'authority = "{simulator.base_url}"',
        f'base_url = "{simulator.base_url}"',
        *([f'ca_file = "{simulator.ca_file.resolve()}"'] if simulator.ca_file is not None else []),
        f"mailboxes = [{quoted}]",
        *(f'refused_mailbox = "{each}"' for each in asked.refused[:1]),
        "",
        "Ctrl-C ends it.",
    ]
    for line in lines:
        typer.echo(line)
