"""What `satchel demo` does: sets both programs up, drops sample mail, shows the ledger grow, judges the outcome."""

import hashlib
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table
from rich.text import Text

from satchel.cli.output import CommandError, printable
from satchel.collector.ledger import open_ledger
from satchel.collector.listing import Entry, entries
from satchel.collector.records import Status
from satchel.collector.rules import SkipReason
from satchel.contract.attachments import AttachmentType
from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.testing.mail import ExpectedAttachment, SampleMessage, deliver, sample_messages
from satchel.testing.stack import Stack, StackError

_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_COLOURS = {Status.STORED: "green", Status.SKIPPED: "yellow", Status.FAILED: "red"}
_SKIPS = {
    AttachmentType.ITEM: SkipReason.ITEM,
    AttachmentType.REFERENCE: SkipReason.REFERENCE,
    AttachmentType.FILE: SkipReason.INLINE_IMAGE,
}


def play(folder: Path | None, *, once: bool) -> None:
    """Run the demo in a folder of its own. Raises CommandError when an outcome is not as it must be."""
    folder = _playground(folder)
    console = Console()
    # The demo lists every message: a picture inside a text does not count as an attachment of its message.
    stack = Stack(folder, collector={"trust_has_attachments": False})
    try:
        with stack:
            console.print(f"Setting up in [bold]{folder}[/]: a mailbox, an API key, a webhook, two programs …")
            stack.prepare()
            stack.start("gateway")
            stack.start("collector")
            complaints = _play(stack, console)
            _show_where_things_are(stack, console, stays=not once)
            if not once:
                _stay(console)
    except StackError as error:
        raise CommandError(str(error)) from None
    if complaints:
        raise CommandError("; ".join(complaints))
    console.print("Every file is stored with the right digest." if once else "Stopped.")


def _playground(folder: Path | None) -> Path:
    """An empty folder to play in."""
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="satchel-demo-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CommandError(f"{folder} is not empty. Give the demo a new folder.")
    except OSError as error:
        raise CommandError(f"{folder}: cannot be used: {error.strerror}.") from None
    return folder.resolve()


@dataclass(frozen=True, slots=True)
class _Row:
    """What must come out of one attachment, and what the ledger says of it so far."""

    message: SampleMessage
    expected: ExpectedAttachment
    entry: Entry | None

    @property
    def settled(self) -> bool:
        return self.entry is not None and self.entry.status != Status.PENDING


def _play(stack: Stack, console: Console) -> list[str]:
    """Drop the messages in, one after the other, and show the ledger grow. Returns what went wrong."""
    ledger = open_ledger(stack.folder / "data/collector")
    messages = sample_messages()
    delivered: list[SampleMessage] = []
    mail = threading.Thread(target=_deliver_all, args=(stack, messages, delivered), daemon=True)
    give_up = time.monotonic() + _PATIENCE_SECONDS
    try:
        with Live(console=console, refresh_per_second=10) as live:
            mail.start()
            while True:
                known = {entry.name: entry for entry in entries(ledger)}
                rows = [_Row(one, wanted, known.get(wanted.name)) for one in messages for wanted in one.expected]
                live.update(Group(Text("What the ledger says", style="bold"), _table(rows, delivered)))
                if all(row.settled for row in rows) or time.monotonic() > give_up:
                    break
                time.sleep(_LOOK_SECONDS)
    finally:
        ledger.dispose()
    return [complaint for row in rows if (complaint := _complaint(row, stack.files))]


def _deliver_all(stack: Stack, messages: Sequence[SampleMessage], delivered: list[SampleMessage]) -> None:
    for message in messages:
        deliver(stack.maildir(), message)
        delivered.append(message)


def _table(rows: Sequence[_Row], delivered: Sequence[SampleMessage]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("MESSAGE", "ATTACHMENT", "SIZE", "SHA-256", "OUTCOME"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        status = row.entry.status if row.entry else ("announced" if row.message in delivered else "")
        reason = f" ({row.entry.reason})" if row.entry and row.entry.reason else ""
        digest = row.entry.sha256[:12] if row.entry and row.entry.sha256 else ""
        outcome = Text(f"{status}{reason}", style=_COLOURS.get(Status(status), "cyan") if row.entry else "dim")
        table.add_row(row.message.name, printable(row.expected.name), decimal(row.expected.size), digest, outcome)
    return table


def _complaint(row: _Row, files: Path) -> str | None:
    """What is wrong with the outcome of an attachment; None when all is as it must be."""
    wanted, entry = row.expected, row.entry
    if entry is None or not row.settled:
        return f"{wanted.name} was not settled within {_PATIENCE_SECONDS:.0f} s"
    if wanted.attachment_type is not AttachmentType.FILE or wanted.is_inline:
        right = entry.status == Status.SKIPPED and entry.reason == _SKIPS[wanted.attachment_type]
        return None if right else f"{wanted.name} should have been skipped and is {entry.status}"
    if entry.status != Status.STORED or entry.storage_key is None:
        return f"{wanted.name} should have been stored and is {entry.status}"
    with (files / entry.storage_key).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return None if digest == entry.sha256 == wanted.sha256 else f"{wanted.name} has the wrong bytes"


def _show_where_things_are(stack: Stack, console: Console, *, stays: bool) -> None:
    ledger = open_ledger(stack.folder / "data/collector")
    try:
        stored = entries(ledger, status=Status.STORED)
    finally:
        ledger.dispose()
    console.print(f"\nThe files, each with a sidecar .json beside it, in [bold]{stack.files}[/]:")
    for entry in stored:
        console.print(f"  {entry.sha256}  {entry.storage_key}", highlight=False, soft_wrap=True)
    if not stored or stored[0].attachment_id is None:
        return
    ids = {"message_id": stored[0].message_id, "attachment_id": stored[0].attachment_id}
    authorization = f"-H 'Authorization: Bearer {stack.api_key}'"
    lines = (
        f"curl {authorization} {stack.gateway_url}{LIST_ATTACHMENTS.url(message_id=ids['message_id'])}",
        f"curl -OJ {authorization} {stack.gateway_url}{DOWNLOAD_ATTACHMENT.url(**ids)}",
        f"SATCHEL_URL={stack.gateway_url} SATCHEL_API_KEY={stack.api_key} {sys.argv[0]} fetch {ids['message_id']}",
        f"{sys.argv[0]} collector list --config {stack.config_file}",
    )
    console.print("\nTo try now:" if stays else "\nTo try while it runs, which it does without --once:")
    for line in lines:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def _stay(console: Console) -> None:
    console.print("\nBoth programs are running. Ctrl-C ends them; the folder stays.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print()
