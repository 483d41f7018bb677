"""Mail servers under test: what others do to them, and a source for each."""

import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Protocol

from satchel.mail.folder.source import FolderSource
from satchel.mail.graph.credentials import CredentialOptions, azure_tokens
from satchel.mail.graph.options import ArrivalOptions, CallOptions, GraphOptions
from satchel.mail.graph.source import GraphSource
from satchel.mail.mime.envelope import read_envelope
from satchel.mail.source import MailSource, MessageRef
from satchel.testing.graph import GraphSimulator
from satchel.testing.host import MemoryHost
from satchel.testing.mail import deliver

MAILBOX = "invoices@example.com"
OTHER = "billing@example.com"


class PostOffice(Protocol):
    """A mail server under test, and what others do to it."""

    def source(self, mailboxes: Sequence[str] = (MAILBOX, OTHER)) -> MailSource:
        """A source as after a restart: it knows nothing of the one before.

        `mailboxes` are named to it where a source has to be told which there are; others find them by themselves.
        """
        ...

    def deliver(self, mailbox: str, mail: bytes) -> None: ...

    def burn(self, mailbox: str) -> None:
        """Destroy all messages of a mailbox."""
        ...


class _FolderOffice:
    def __init__(self, root: Path) -> None:
        self.root = root

    def source(self, mailboxes: Sequence[str] = ()) -> MailSource:
        return FolderSource(self.root, settle_seconds=0.0)


class MaildirOffice(_FolderOffice):
    def deliver(self, mailbox: str, mail: bytes) -> None:
        deliver(self.root / mailbox, mail)

    def burn(self, mailbox: str) -> None:
        for file in (self.root / mailbox).glob("*/*"):
            file.unlink()


class EmlOffice(_FolderOffice):
    def deliver(self, mailbox: str, mail: bytes) -> None:
        folder = self.root / mailbox
        folder.mkdir(exist_ok=True)
        (folder / f"{len(list(folder.iterdir()))}.eml").write_bytes(mail)

    def burn(self, mailbox: str) -> None:
        shutil.rmtree(self.root / mailbox)


class MboxOffice(_FolderOffice):
    def deliver(self, mailbox: str, mail: bytes) -> None:
        with (self.root / f"{mailbox}.mbox").open("ab") as file:
            file.write(b"From somebody Mon Jun  2 09:30:00 2025\r\n" + mail + b"\r\n\r\n")

    def burn(self, mailbox: str) -> None:
        (self.root / f"{mailbox}.mbox").write_bytes(b"")


class GraphOffice:
    """Microsoft 365 as the simulator has it, over TLS, with a token from its authority."""

    def __init__(self, simulator: GraphSimulator) -> None:
        self.simulator = simulator
        self._delivered: list[tuple[str, str]] = []

    def source(
        self,
        mailboxes: Sequence[str] = (MAILBOX, OTHER),
        *,
        host: MemoryHost | None = None,
        calls: CallOptions | None = None,
    ) -> GraphSource:
        simulator = self.simulator
        options = GraphOptions(
            mailboxes=[mailbox.lower() for mailbox in mailboxes],
            calls=calls or CallOptions(base_url=simulator.base_url, ca_file=simulator.ca_file),
            arrivals=ArrivalOptions(poll_seconds=0.05),
        )
        credential = CredentialOptions(
            kind="secret",
            authority=simulator.base_url,
            base_url=simulator.base_url,
            tenant_id=simulator.tenant_id,
            client_id=simulator.client_id,
            client_secret=simulator.client_secret,
            ca_file=simulator.ca_file,
        )
        return GraphSource(options, azure_tokens(credential), host or MemoryHost())

    def deliver(self, mailbox: str, mail: bytes) -> None:
        # Exchange has received it when the topmost field says so, which its own server would have written.
        message_id = self.simulator.deliver(mailbox, mail, received=read_envelope(mail).received)
        self._delivered.append((mailbox, message_id))

    def burn(self, mailbox: str) -> None:
        for of, message_id in self._delivered:
            if of == mailbox:
                self.simulator.delete(mailbox, message_id)


Opening = Callable[[Path], AbstractAsyncContextManager[PostOffice]]


def _in_folder(made: Callable[[Path], PostOffice]) -> Opening:
    @asynccontextmanager
    async def open_office(root: Path) -> AsyncIterator[PostOffice]:
        yield made(root)

    return open_office


@asynccontextmanager
async def graph_office(root: Path) -> AsyncIterator[GraphOffice]:
    async with GraphSimulator(tls=True, folder=root) as simulator:
        yield GraphOffice(simulator)


# An adapter joins the contract's suite by an office of its own.
OFFICES: dict[str, Opening] = {
    "MaildirOffice": _in_folder(MaildirOffice),
    "EmlOffice": _in_folder(EmlOffice),
    "MboxOffice": _in_folder(MboxOffice),
    "GraphOffice": graph_office,
}


async def there(source: MailSource) -> list[MessageRef]:
    """The messages of a source's first pass."""
    found: list[MessageRef] = []
    async with aclosing(source.watch()) as batches:
        async for batch in batches:
            found.extend(batch.messages)
            if batch.ends_first_pass:
                return found
    raise AssertionError("watching ended before the first pass did")
