"""`satchel fetch`: the files of a message, downloaded side by side into a folder."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from satchel.cli.api_access import AllowHttp, ApiKey, MessageId, ServerUrl, connected, explain
from satchel.cli.output import CommandError, print_json, printable
from satchel.client import CALL_ERRORS, AsyncClient, Downloaded
from satchel.contract.attachments import Attachment
from satchel.contract.headers import safe_file_name

_SIDE_BY_SIDE = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """An attachment and the file name that it gets."""

    attachment: Attachment
    file_name: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attachment: a file, or why there is none."""

    wanted: Wanted
    stored: Downloaded | None
    failure: str | None

    def as_json(self) -> dict[str, object]:
        told: dict[str, object] = {"id": self.wanted.attachment.id, "name": self.wanted.attachment.name}
        if self.stored is None:
            return {**told, "status": "failed", "error": self.failure}
        stored = self.stored
        return {
            **told,
            "status": "stored",
            "path": str(stored.path),
            "contentType": self.wanted.attachment.content_type,
            "size": stored.size,
            "sha256": stored.sha256,
        }


def fetch(
    message_id: MessageId,
    url: ServerUrl,
    api_key: ApiKey,
    allow_http: AllowHttp = False,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder; made where it is missing.")] = Path(),
    only: Annotated[str, typer.Option("--only", metavar="GLOB", help="Only names like this, such as '*.pdf'.")] = "*",
    json: Annotated[bool, typer.Option("--json", help="Print what became of each attachment as JSON.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Download the files of a message, and print SHA-256 and path of each as `sha256sum` does.

    The exit status is 1 if any of them failed; the others are stored all the same.
    """
    console = Console(stderr=True, highlight=False, markup=False)
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(explain(error)) from None

    async def run() -> list[Outcome]:
        async with connected(url, api_key, allow_http=allow_http, notice=console.print) as client:
            wanted = choose(await client.list_attachments(message_id), only, console)
            with progress_bars(console) as progress:
                return await _fetch_all(client, message_id, wanted, _Folder(to, overwrite), progress)

    _report(asyncio.run(run()), json=json)


def file_names(attachments: Sequence[Attachment]) -> list[str]:
    """A safe name for each, all distinct also where the file system ignores case: the second `a.pdf` is `a (2).pdf`."""
    taken: set[str] = set()
    names = []
    for attachment in attachments:
        wished = safe_file_name(attachment.name)
        stem, suffix = Path(wished).stem, Path(wished).suffix
        name, number = wished, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem} ({number}){suffix}"
        taken.add(name.casefold())
        names.append(name)
    return names


def choose(attachments: Sequence[Attachment], only: str, console: Console) -> list[Wanted]:
    """The files whose names fit the pattern in whatever case. Raises CommandError where none of the files does."""
    files = [attachment for attachment in attachments if attachment.is_file]
    if len(files) < len(attachments):
        count = len(attachments) - len(files)
        console.print(f"Left out {count} that cannot be downloaded (embedded items and links to cloud files).")
    # Named before the choice, so that a file has the same name whatever else is fetched.
    wanted = [Wanted(attachment, name) for attachment, name in zip(files, file_names(files), strict=True)]
    chosen = [each for each in wanted if fnmatch(each.attachment.name.casefold(), only.casefold())]
    if files and not chosen:
        raise CommandError(printable(f"None of the message's {len(files)} files is named like {only!r}."))
    if not files:
        console.print("The message has no files.")
    return chosen


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path
    overwrite: bool


@contextmanager
def progress_bars(console: Console) -> Iterator[Progress]:
    """Bars on a terminal, and nothing elsewhere."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress


async def _fetch_all(
    client: AsyncClient, message_id: str, wanted: Sequence[Wanted], folder: _Folder, progress: Progress
) -> list[Outcome]:
    gate = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def one(each: Wanted) -> Outcome:
        async with gate:
            return await _fetch_one(client, message_id, each, folder, progress)

    return await asyncio.gather(*(one(each) for each in wanted))


async def _fetch_one(
    client: AsyncClient, message_id: str, wanted: Wanted, folder: _Folder, progress: Progress
) -> Outcome:
    # The listed size is a guess until the server's answer says better.
    task = progress.add_task(printable(wanted.file_name), total=wanted.attachment.size)

    def show(done_bytes: int, total_bytes: int | None) -> None:
        progress.update(task, completed=done_bytes, total=total_bytes)

    try:
        stored = await client.download(
            message_id,
            wanted.attachment.id,
            folder.path / wanted.file_name,
            overwrite=folder.overwrite,
            on_progress=show,
        )
    except (*CALL_ERRORS, OSError) as failure:
        progress.update(task, description=f"{printable(wanted.file_name)}: failed")
        return Outcome(wanted, None, explain(failure))
    progress.update(task, completed=stored.size, total=stored.size)
    return Outcome(wanted, stored, None)


def _report(outcomes: Sequence[Outcome], *, json: bool) -> None:
    if json:
        print_json([outcome.as_json() for outcome in outcomes])
    failed = []
    for outcome in outcomes:
        if outcome.stored is None:
            failed.append(f"\n  {printable(outcome.wanted.file_name)}: {outcome.failure}")
        elif not json:
            typer.echo(f"{outcome.stored.sha256}  {printable(str(outcome.stored.path))}")
    if failed:
        raise CommandError(f"{len(failed)} of {len(outcomes)} files were not stored:{''.join(failed)}")
