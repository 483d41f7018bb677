"""The simulator as tests and the command use it: started, filled with mail, and told what to do wrong."""

import asyncio
import ssl
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from aiohttp import web

from satchel.testing.graph.calls import Calls
from satchel.testing.graph.certificates import make_client_certificate, make_server_certificate
from satchel.testing.graph.control import Control
from satchel.testing.graph.dice import Dice
from satchel.testing.graph.faults import Faults
from satchel.testing.graph.ids import Ids
from satchel.testing.graph.limits import Limits, Throttle
from satchel.testing.graph.mailboxes import Mailboxes
from satchel.testing.graph.notifications import Notifier
from satchel.testing.graph.server import GraphServer
from satchel.testing.graph.subscriptions import Subscriptions
from satchel.testing.graph.tenant import Tenant
from satchel.testing.graph.tokens import App, Tokens
from satchel.testing.graph.world import World

DEFAULT_ROLES = ("Mail.Read",)
_THREADS = 16


class GraphSimulator(Tenant):
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
        subscriptions = Subscriptions(mailboxes, self._ids, now)
        notifier = Notifier(subscriptions, dice, lambda: world.faults, app.tenant_id, time.monotonic)
        world = World(
            mailboxes=mailboxes,
            tokens=Tokens(app, now, DEFAULT_ROLES, lambda: world.faults.token_lifetime_seconds),
            calls=calls,
            throttle=Throttle(limits or Limits(), calls, time.monotonic),
            dice=dice,
            notifier=notifier,
            threads=ThreadPoolExecutor(_THREADS, "graph-simulator"),
            now=now,
            steady=time.monotonic,
            faults=faults or Faults(),
        )
        super().__init__(world)
        self.ca_file: Path | None = None
        self._client_file: Path | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(self._context) if self._tls else None
        # A stalled body must not hold up the end.
        self._runner = web.AppRunner(
            self._application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
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

    def _application(self) -> web.Application:
        app = GraphServer(self.world).application()
        Control(self).add_to(app)
        return app

    def _context(self) -> ssl.SSLContext:
        files = make_server_certificate(self._certificates)
        self.ca_file = files.ca_file
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files.server_file)
        return context

    @property
    def client_certificate_file(self) -> Path:
        """A PEM file with a certificate and its key that the app may sign in with; made when first asked for."""
        if self._client_file is None:
            self._client_file = self._certificates / "client.pem"
            self.world.tokens.certificate = make_client_certificate(self._client_file)
        return self._client_file
