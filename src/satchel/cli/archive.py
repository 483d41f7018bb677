"""`satchel archive`: all files of a message as one ZIP, for one call of the rate limit."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from satchel.cli.api_access import AllowHttp, ApiKey, MessageId, ServerUrl, connected, explain
from satchel.cli.fetch import progress_bars
from satchel.cli.output import CommandError, print_json, printable
from satchel.client import Downloaded
from satchel.contract.archives import ARCHIVE_NAME


def archive(
    message_id: MessageId,
    url: ServerUrl,
    api_key: ApiKey,
    allow_http: AllowHttp = False,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The ZIP file to write.")] = Path(ARCHIVE_NAME),
    json: Annotated[bool, typer.Option("--json", help="Print what was stored as JSON.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Download all files of a message as one ZIP, and print its SHA-256 and path as `sha256sum` does.

    One call of the rate limit, however many files there are. The ZIP's `manifest.json` tells what is in it.
    """
    _refuse_folder(to)
    console = Console(stderr=True, highlight=False, markup=False)

    async def run() -> Downloaded:
        async with connected(url, api_key, allow_http=allow_http, notice=console.print) as client:
            with progress_bars(console) as progress:
                task = progress.add_task(printable(to.name), total=None)

                def show(done_bytes: int, total_bytes: int | None) -> None:
                    progress.update(task, completed=done_bytes, total=total_bytes)

                return await client.download_archive(message_id, to, overwrite=overwrite, on_progress=show)

    try:
        stored = asyncio.run(run())
    except OSError as error:
        raise CommandError(explain(error)) from None
    if json:
        print_json({"id": message_id, "path": str(stored.path), "size": stored.size, "sha256": stored.sha256})
    else:
        typer.echo(f"{stored.sha256}  {printable(str(stored.path))}")


def _refuse_folder(to: Path) -> None:
    if to.is_dir():
        raise CommandError(f"{to} is a folder. Name the ZIP file to write, for example --to {to / ARCHIVE_NAME}.")
    if not to.parent.is_dir():
        raise CommandError(f"There is no folder {to.parent}. Create it first, or write the ZIP file elsewhere.")
