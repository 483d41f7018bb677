"""Puts the gateway together and runs it: source → intake → durable deliveries, and the API over the same index."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
import uvloop

from satchel import __version__
from satchel.durable.database import sqlite_url
from satchel.durable.engine import DurableEngine
from satchel.gateway.addresses import parse_networks
from satchel.gateway.admission import Admission
from satchel.gateway.api.application import build_application
from satchel.gateway.api.protocol import EnvelopeProtocol
from satchel.gateway.api.proxies import TrustedProxies
from satchel.gateway.intake import Intake
from satchel.gateway.limiting import open_limits
from satchel.gateway.service import AttachmentService
from satchel.gateway.settings import GatewaySettings
from satchel.gateway.store.database import Store, is_reachable, open_database
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID
from satchel.gateway.webhooks.delivery import Deliveries, WebhookSender
from satchel.mail.folder.source import FolderSource
from satchel.mail.source import MailSource
from satchel.process.lock import data_folder_lock
from satchel.process.logs import configure_logs
from satchel.process.protocol import Patience
from satchel.process.server import Server

_ENGINE_FILE = "durable.db"
# Short, because a receiver that fetches before it answers gets nothing any more; the attempt is made again later.
_DELIVERY_GRACE_SECONDS = 3.0

log = structlog.get_logger(__name__)


def run(settings: GatewaySettings, *, api_only: bool = False) -> None:
    """Serve on an event loop of its own until the process is asked to stop. Raises DataFolderInUse, SettingsError."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_api(settings) if api_only else serve(settings))


async def serve(settings: GatewaySettings) -> None:
    """Run the gateway until SIGTERM or SIGINT. Raises DataFolderInUse, SettingsError."""
    configure_logs(settings.log)
    with data_folder_lock(settings.data_dir, "gateway"):
        async with _source(settings) as source, _store(settings) as store, _deliveries(settings, store) as deliveries:
            intake = Intake(source, store, deliveries, sweep_seconds=settings.webhooks.sweep_seconds)
            async with _api(settings, source, store, lambda: {"intake": intake.is_caught_up}) as server:
                await _serve_and_take_in(server, intake)
    log.info("gateway_stopped")


async def serve_api(settings: GatewaySettings) -> None:
    """Run one more process of the API until SIGTERM or SIGINT, beside a gateway that takes in and delivers.

    It reads the index that the gateway keeps in the data folder, and asks the mail source by itself. Raises
    SettingsError.
    """
    configure_logs(settings.log)
    async with _source(settings) as source, _store(settings) as store, _api(settings, source, store, dict) as server:
        log.info("gateway_starting", version=__version__, python=sys.version.split()[0], api_only=True)
        await server.serve()
    log.info("gateway_stopped")


@asynccontextmanager
async def _api(
    settings: GatewaySettings, source: MailSource, store: Store, checks: Callable[[], dict[str, bool]]
) -> AsyncIterator[Server]:
    """The API's server, which waits to be started. `checks` are those of `/readyz` beside the API's own."""
    calls_per_minute = {DEFAULT_ACCOUNT_ID: settings.rate_limit_per_minute}
    async with open_limits(settings.limits, calls_per_minute) as (limits, limit_checks):

        async def ready() -> dict[str, bool]:
            return {"store": await store.call(is_reachable), **checks(), **limit_checks()}

        application = build_application(
            Admission(store, limits),
            AttachmentService({DEFAULT_ACCOUNT_ID: source}),
            ready,
            public_url=settings.public_url,
        )
        trusted = parse_networks(settings.trusted_proxies)
        yield Server(
            TrustedProxies(application, trusted) if trusted else application,
            host=settings.listen_host,
            port=settings.listen_port,
            grace_seconds=settings.shutdown_grace_seconds,
            protocol=EnvelopeProtocol,
            patience=Patience(settings.request_timeout_seconds, settings.client_stall_seconds),
        )


async def _serve_and_take_in(server: Server, intake: Intake) -> None:
    """Run both; when the server has been stopped the intake ends too, and a defect in either ends the other."""
    log.info("gateway_starting", version=__version__, python=sys.version.split()[0])
    async with asyncio.TaskGroup() as tasks:
        taking_in = tasks.create_task(intake.run())
        await server.serve()
        taking_in.cancel()


@asynccontextmanager
async def _source(settings: GatewaySettings) -> AsyncIterator[MailSource]:
    source = FolderSource(
        settings.folder.path,
        settle_seconds=settings.folder.settle_seconds,
        rescan_seconds=settings.folder.rescan_seconds,
    )
    try:
        yield source
    finally:
        await source.aclose()


@asynccontextmanager
async def _store(settings: GatewaySettings) -> AsyncIterator[Store]:
    store = Store(open_database(settings.data_dir), settings.store_threads)
    try:
        yield store
    finally:
        store.close()


@asynccontextmanager
async def _deliveries(settings: GatewaySettings, store: Store) -> AsyncIterator[Deliveries]:
    engine = DurableEngine("satchel-gateway", sqlite_url(settings.data_dir / _ENGINE_FILE))
    sender = WebhookSender(settings.webhooks)
    deliveries = Deliveries(store, engine, sender, settings.webhooks)
    try:
        await engine.launch()
        yield deliveries
    finally:
        await engine.shutdown(grace_seconds=_DELIVERY_GRACE_SECONDS)
        await sender.aclose()
