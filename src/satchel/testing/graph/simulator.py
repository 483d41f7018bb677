"""The simulator as tests and the command use it: started, filled with mail, and told what to do wrong."""

import asyncio
import ssl
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Self

from aiohttp import web

from satchel.testing.graph.calls import Call, Calls, Peaks
from satchel.testing.graph.certificates import make_client_certificate, make_server_certificate
from satchel.testing.graph.dice import Dice
from satchel.testing.graph.faults import Faults
from satchel.testing.graph.ids import Ids
from satchel.testing.graph.limits import Limits, Throttle
from satchel.testing.graph.mailboxes import Change, Mailboxes
from satchel.testing.graph.notifications import Notifier
from satchel.testing.graph.server import GraphServer
from satchel.testing.graph.subscriptions import Subscription, Subscriptions
from satchel.testing.graph.tokens import App, Tokens
from satchel.testing.graph.world import World
from satchel.testing.mail import SampleMessage

DEFAULT_ROLES = ("Mail.Read",)
ARCHIVE = "archive"
_THREADS = 16


class GraphSimulator:
    """Microsoft Graph's mail on a free port of 127.0.0.1, with an authority for tokens; use it with `async with`.

    With `tls` the server shows a certificate of an authority of its own, whose PEM is `ca_file`. `seed` decides ids,
    secrets and chances. `faults` and `limits` may be changed at any moment. `now` gives seconds since 1970. `folder`
    is where messages and certificates are kept; by default a temporary one.
    """

    def __init__(
        self,
        *,
        tls: bool = True,
        faults: Faults | None = None,
        limits: Limits | None = None,
        seed: int = 0,
        port: int = 0,
        roles: Sequence[str] = DEFAULT_ROLES,
        now: Callable[[], float] = time.time,
        folder: Path | None = None,
    ) -> None:
        self._tls = tls
        self._port = port
        self._temporary = tempfile.TemporaryDirectory(prefix="satchel-graph-")
        self._certificates = folder or Path(self._temporary.name) / "tls"
        self._ids = Ids(seed)
        app = App(
            tenant_id=self._ids.guid("tenant"),
            client_id=self._ids.guid("app"),
            client_secret=self._ids.guid("secret").replace("-", "~"),
            federated_token=self._ids.guid("workload"),
        )
        mail = Path(self._temporary.name) / "mail"
        mail.mkdir()
        mailboxes = Mailboxes(mail, self._ids, now)
        calls, dice = Calls(time.monotonic), Dice(seed)
        notifier = Notifier(Subscriptions(mailboxes, self._ids, now), dice, lambda: self.world.faults, app.tenant_id)
        self.world = World(
            mailboxes=mailboxes,
            tokens=Tokens(app, now, roles),
            calls=calls,
            throttle=Throttle(limits or Limits(), calls, time.monotonic),
            dice=dice,
            notifier=notifier,
            threads=ThreadPoolExecutor(_THREADS, "graph-simulator"),
            now=now,
            steady=time.monotonic,
            faults=faults or Faults(),
        )
        self.ca_file: Path | None = None
        self._client_file: Path | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(self._context) if self._tls else None
        # A stalled body must not hold up the end.
        self._runner = web.AppRunner(
            GraphServer(self.world).application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=context).start()
        port = self._runner.addresses[0][1]
        self.world.base_url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
        await self.world.notifier.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.world.notifier.aclose()
        if self._runner is not None:
            await self._runner.cleanup()
        await asyncio.to_thread(self.world.threads.shutdown)
        await asyncio.to_thread(self._temporary.cleanup)

    def _context(self) -> ssl.SSLContext:
        files = make_server_certificate(self._certificates)
        self.ca_file = files.ca_file
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files.server_file)
        return context

    @property
    def base_url(self) -> str:
        """Where it is, without /v1.0; also the authority for tokens."""
        return self.world.base_url

    @property
    def tenant_id(self) -> str:
        return self.world.tokens.app.tenant_id

    @property
    def client_id(self) -> str:
        return self.world.tokens.app.client_id

    @property
    def client_secret(self) -> str:
        return self.world.tokens.app.client_secret

    @property
    def federated_token(self) -> str:
        """What a workload identity may show instead of a secret."""
        return self.world.tokens.app.federated_token

    @property
    def client_certificate_file(self) -> Path:
        """A PEM file with a certificate and its key that the app may sign in with; made when first asked for."""
        if self._client_file is None:
            self._client_file = self._certificates / "client.pem"
            self.world.tokens.certificate = make_client_certificate(self._client_file)
        return self._client_file

    @property
    def faults(self) -> Faults:
        return self.world.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.world.faults = faults

    @property
    def limits(self) -> Limits:
        return self.world.throttle.limits

    @property
    def calls(self) -> list[Call]:
        """Every call below /v1.0, in the order in which they began."""
        return self.world.calls.list

    @property
    def peaks(self) -> Peaks:
        """The most that was under way at once, and the 429s that were given."""
        return self.world.calls.peaks

    @property
    def subscriptions(self) -> list[Subscription]:
        """Those that live."""
        return self.world.notifier.subscriptions.all()

    def add_mailbox(self, address: str, *, refused: bool = False) -> None:
        """A mailbox that the app may read, or one that exists but is refused to it."""
        self.world.mailboxes.add(address, refused=refused)

    def add_folder(self, mailbox: str, name: str) -> str:
        """One more folder, beside the well-known ones. Returns its id."""
        return self.world.mailboxes.create_folder(self.world.mailboxes.add(mailbox), name).id

    def deliver(
        self,
        mailbox: str,
        mail: bytes | SampleMessage | Path,
        *,
        received: datetime | None = None,
        folder: str = "inbox",
    ) -> str:
        """A message comes in, and subscribers are told. A mailbox that is not there is made. Returns the immutable id.

        Blocks while the message is written to disk: for large ones call it in a thread.
        """
        at = self.world.mailboxes.find(mailbox) or self.world.mailboxes.add(mailbox)
        change = self.world.mailboxes.deliver(at, mail, received, folder)
        self.world.notifier.announce(at, change)
        return change.immutable_id

    def mutable_id(self, mailbox: str, message_id: str) -> str:
        """The id of a message as those see it who do not ask for immutable ones; another one after each move."""
        return self.world.mailboxes.add(mailbox).message(message_id).mutable_id

    def move(self, mailbox: str, message_id: str, folder: str) -> str:
        """Into another folder. Returns the immutable id, which is a new one only in `ARCHIVE`."""
        at = self.world.mailboxes.add(mailbox)
        message = at.message(message_id)
        self._announce(mailbox, self.world.mailboxes.move(at, message, folder, reissue=folder == ARCHIVE))
        return message.immutable_id

    def delete(self, mailbox: str, message_id: str) -> None:
        """For good."""
        at = self.world.mailboxes.add(mailbox)
        self._announce(mailbox, [self.world.mailboxes.delete(at, at.message(message_id))])

    def burn(self, mailbox: str) -> None:
        """As after a migration: all ids of the mailbox, its delta tokens and its subscriptions are no more."""
        at = self.world.mailboxes.add(mailbox)
        self.world.mailboxes.burn(at)
        for each in self.world.notifier.subscriptions.remove_of(at):
            self.world.notifier.lifecycle(each, "subscriptionRemoved")

    def revoke_tokens(self) -> None:
        """Those that were given out answer 401 from now on; new ones are good."""
        self.world.tokens.revoke()

    def send_missed(self, mailbox: str | None = None) -> None:
        """Tell the subscribers, of one mailbox or of all, that something may have been missed."""
        for each in self._subscriptions(mailbox):
            self.world.notifier.lifecycle(each, "missed")

    def remove_subscriptions(self, mailbox: str | None = None, *, tell: bool = True) -> int:
        """Drop them, of one mailbox or of all, and tell their subscribers so. Returns how many there were."""
        gone = self._subscriptions(mailbox)
        for each in gone:
            self.world.notifier.subscriptions.remove(each.id)
            if tell:
                self.world.notifier.lifecycle(each, "subscriptionRemoved")
        return len(gone)

    def demand_reauthorization(self, mailbox: str | None = None) -> None:
        """Subscribers are told of nothing more until they have reauthorised or renewed."""
        for each in self._subscriptions(mailbox):
            each.paused = True
            self.world.notifier.lifecycle(each, "reauthorizationRequired")

    def _subscriptions(self, mailbox: str | None) -> list[Subscription]:
        return [each for each in self.subscriptions if mailbox is None or each.mailbox.address == mailbox.lower()]

    def _announce(self, mailbox: str, changes: list[Change]) -> None:
        for change in changes:
            self.world.notifier.announce(self.world.mailboxes.add(mailbox), change)
