"""Puts the gateway together and runs it: source → intake → durable deliveries, and the API over the same index."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
import uvloop

from satchel import __version__
from satchel.durable.database import sqlite_url
from satchel.durable.engine import DurableEngine
from satchel.gateway.addresses import parse_networks
from satchel.gateway.admission import Admission
from satchel.gateway.api.application import ApiOptions, build_application
from satchel.gateway.api.boundary import Observers
from satchel.gateway.api.protocol import EnvelopeProtocol
from satchel.gateway.api.proxies import TrustedProxies
from satchel.gateway.api.routing import Operation
from satchel.gateway.audit.actions import GATEWAY_ACTOR
from satchel.gateway.audit.recorder import Recorder
from satchel.gateway.graph.notifications import Notifications, notification_operations
from satchel.gateway.graph.standing import SubscriptionStanding
from satchel.gateway.intake import Intake, are_caught_up
from satchel.gateway.limits.opening import open_limits
from satchel.gateway.limits.rates import Limits
from satchel.gateway.readiness import Readiness, source_probe
from satchel.gateway.reports.reporting import Reporting
from satchel.gateway.reports.results import RESULTS_LIVE
from satchel.gateway.reports.runs import ReportRuns
from satchel.gateway.retention import Kept, keep
from satchel.gateway.sealing import MasterKey
from satchel.gateway.service import AttachmentService
from satchel.gateway.settings import AccountSettings, GatewaySettings, TlsSettings, load_master_key
from satchel.gateway.sources import Sources, name_message, open_sources
from satchel.gateway.store.accounts import register_accounts
from satchel.gateway.store.audit import remove_events
from satchel.gateway.store.content_facts import remove_unused_facts
from satchel.gateway.store.database import Store, open_database
from satchel.gateway.store.history import remove_deliveries
from satchel.gateway.store.reports import remove_runs
from satchel.gateway.store.secrets import advice_on, unreadable_secrets
from satchel.gateway.telemetry.measured import TracedAdmission
from satchel.gateway.telemetry.metrics import Metrics, MetricsServer
from satchel.gateway.telemetry.readings import (
    read_deliveries,
    read_graph,
    read_intakes,
    read_notifications,
    read_subscriptions,
)
from satchel.gateway.telemetry.spans import Tracing
from satchel.gateway.telemetry.tracing import open_tracing
from satchel.gateway.texts import MessageTexts
from satchel.gateway.webhooks.delivery import Deliveries
from satchel.gateway.webhooks.opening import open_deliveries
from satchel.gateway.webhooks.standing import DeliveryStanding
from satchel.process.garbage import look_for_garbage_seldom
from satchel.process.lock import data_folder_lock
from satchel.process.logs import configure_logs
from satchel.process.open_files import raise_open_files
from satchel.process.protocol import Patience
from satchel.process.server import Server
from satchel.process.tls import Certificate
from satchel.settings import SettingsError

_ENGINE_FILE = "durable.db"
_UNUSED_FACTS_DAYS = 90
# Short, because a receiver that fetches before it answers gets nothing any more; the attempt is made again later.
_DELIVERY_GRACE_SECONDS = 3.0

log = structlog.get_logger(__name__)


def run(settings: GatewaySettings, *, api_only: bool = False) -> None:
    """Serve on an event loop of its own until the process is asked to stop. Raises DataFolderInUse, SettingsError."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_api(settings) if api_only else serve(settings))


@dataclass(frozen=True, slots=True)
class _Served:
    """What a process serves: accounts and their sources by account id. A process of the API alone has no intakes."""

    accounts: Mapping[str, AccountSettings]
    sources: Sources
    reporting: Reporting
    intakes: Sequence[Intake] = ()

    def checks(self) -> dict[str, bool]:
        """Those of `/readyz` beside the API's own."""
        return {"intake": are_caught_up(self.intakes)} if self.intakes else {}

    def wake(self) -> None:
        """Messages were written down as pending."""
        for intake in self.intakes:
            intake.wake()

    @property
    def takes_notifications(self) -> bool:
        return any(self.accounts[account_id].graph.notification_url for account_id in self.sources.of_graph)


async def serve(settings: GatewaySettings) -> None:
    """Run the gateway until SIGTERM or SIGINT. Raises DataFolderInUse, SettingsError."""
    configure_logs(settings.log)
    raise_open_files()
    with data_folder_lock(settings.data_dir, "gateway"):
        async with _store(settings) as store, _observers(settings, store) as observers:
            accounts = await _accounts(settings, store)
            async with (
                open_sources(accounts, store, observers) as sources,
                _durable_work(settings, store, sources, observers) as (deliveries, report_runs),
            ):
                intakes = _intakes(settings, accounts, sources, store, deliveries)
                served = _Served(accounts, sources, Reporting(store, on_begun=report_runs.wake), intakes)
                async with _api(settings, store, served, observers) as server:
                    besides = [
                        report_runs.run(),
                        *_looking_after(deliveries, store, observers.metrics),
                        *_housekeeping(settings, store, served, observers.metrics),
                    ]
                    await _serve_and_take_in(server, intakes, besides)
    log.info("gateway_stopped")


async def serve_api(settings: GatewaySettings) -> None:
    """Run one more process of the API until SIGTERM or SIGINT, beside a gateway that takes in and delivers.

    It reads the index that the gateway keeps in the data folder, and asks the mail source by itself. Raises
    SettingsError.
    """
    configure_logs(settings.log)
    raise_open_files()
    async with _store(settings) as store, _observers(settings, store) as observers:
        accounts = await _accounts(settings, store)
        async with (
            open_sources(accounts, store, observers) as sources,
            _api(settings, store, _Served(accounts, sources, Reporting(store)), observers) as server,
        ):
            look_for_garbage_seldom()
            log.info("gateway_starting", version=__version__, python=sys.version.split()[0], api_only=True)
            await server.serve()
    log.info("gateway_stopped")


@asynccontextmanager
async def _api(settings: GatewaySettings, store: Store, served: _Served, observers: Observers) -> AsyncIterator[Server]:
    """The API's server, which waits to be started."""
    calls_per_minute = {account_id: account.rate_limit_per_minute for account_id, account in served.accounts.items()}
    sources = served.sources
    probes = [source_probe(account_id, source) for account_id, source in sources.by_account.items()]
    async with open_limits(settings.limits, calls_per_minute) as (limits, limit_checks), _tls(settings.tls) as tls:
        if (metrics := observers.metrics) is not None:
            metrics.read_gauge("open_streams", "Downloads and archives under way.", lambda: limits.downloads.in_use)
            if sources.of_graph:
                read_graph(metrics, sources.counts)
        service = AttachmentService(sources.by_account)
        application = build_application(
            _admission(store, limits, served, service, observers.tracing),
            service,
            served.reporting,
            Readiness(store, probes, (served.checks, limit_checks)).checks,
            options=ApiOptions(
                public_url=settings.public_url,
                archive_threads=settings.limits.archives,
                not_found_hold_seconds=settings.not_found_hold_seconds,
                docs_page=settings.docs_page,
            ),
            observers=observers,
            others=_notification_operations(store, served, observers.metrics),
        )
        trusted = parse_networks(settings.trusted_proxies)
        yield Server(
            TrustedProxies(application, trusted) if trusted else application,
            host=settings.listen_host,
            port=settings.listen_port,
            grace_seconds=settings.shutdown_grace_seconds,
            protocol=EnvelopeProtocol,
            patience=Patience(settings.request_timeout_seconds, settings.client_stall_seconds),
            tls=tls,
        )


def _admission(
    store: Store, limits: Limits, served: _Served, service: AttachmentService, tracing: Tracing | None
) -> Admission:
    """Of the sources only Microsoft 365 knows messages that the index does not."""
    resolving = {account_id: partial(service.resolve, account_id) for account_id in served.sources.of_graph}
    if tracing is None:
        return Admission(store, limits, accounts=served.accounts, resolving=resolving)
    return TracedAdmission(store, limits, tracing, accounts=served.accounts, resolving=resolving)


def _notification_operations(store: Store, served: _Served, metrics: Metrics | None) -> Sequence[Operation]:
    """Where Graph posts what arrives, if any account asks for that."""
    if not served.takes_notifications:
        return ()
    notifications = Notifications(store, name_message, on_arrival=served.wake)
    if metrics is not None:
        read_notifications(metrics, notifications)
    return notification_operations(notifications)


@asynccontextmanager
async def _tls(settings: TlsSettings) -> AsyncIterator[ssl.SSLContext | None]:
    """The listener's certificate, looked after in the block; None where the settings name none."""
    if settings.certificate_file is None or settings.key_file is None:
        yield None
        return
    try:
        certificate = Certificate(settings.certificate_file, settings.key_file)
    except SettingsError as error:
        raise SettingsError(f"[gateway] {error}") from None
    async with certificate.watched():
        yield certificate.context


@asynccontextmanager
async def _observers(settings: GatewaySettings, store: Store) -> AsyncIterator[Observers]:
    """Who is told of every call. The metrics have a listener of their own, for the length of the block."""
    async with AsyncExitStack() as opened:
        # Ended last, since it may wait for a receiver that does not answer.
        tracing = await opened.enter_async_context(open_tracing(settings.tracing))
        recorder = Recorder(store)
        await opened.enter_async_context(recorder.running())
        metrics = None
        if settings.metrics.listen_port is not None:
            metrics = Metrics()
            listener = MetricsServer(metrics, host=settings.metrics.listen_host, port=settings.metrics.listen_port)
            await opened.enter_async_context(listener.running())
        yield Observers(recorder, metrics, tracing)


def _intakes(
    settings: GatewaySettings,
    accounts: Mapping[str, AccountSettings],
    sources: Sources,
    store: Store,
    deliveries: Deliveries,
) -> list[Intake]:
    """One for each account."""
    return [
        Intake(
            account_id,
            source,
            store,
            deliveries,
            sweep_seconds=settings.webhooks.sweep_seconds,
            arrival_patience_seconds=(
                accounts[account_id].graph.arrival_patience_seconds if account_id in sources.of_graph else 0.0
            ),
        )
        for account_id, source in sources.by_account.items()
    ]


def _housekeeping(
    settings: GatewaySettings, store: Store, served: _Served, metrics: Metrics | None
) -> list[Coroutine[Any, Any, None]]:
    """What runs beside the intakes: what is old goes, what is measured is looked up."""
    work = [
        keep(store, Kept("audit_events", settings.audit_days, remove_events)),
        keep(store, Kept("deliveries", settings.delivery_days, remove_deliveries)),
        keep(store, Kept("report_runs", RESULTS_LIVE.days, remove_runs)),
    ]
    if metrics is not None:
        read_intakes(metrics, served.intakes)
    if served.sources.of_graph:
        work.append(keep(store, Kept("content_facts", _UNUSED_FACTS_DAYS, remove_unused_facts)))
        if metrics is not None:
            standing = SubscriptionStanding(store)
            read_subscriptions(metrics, standing)
            work.append(standing.keep())
    return work


def _looking_after(deliveries: Deliveries, store: Store, metrics: Metrics | None) -> list[Coroutine[Any, Any, None]]:
    """What nobody works on is found; what waits is measured."""
    if metrics is None:
        return [deliveries.run()]
    standing = DeliveryStanding(store)
    read_deliveries(metrics, deliveries, standing)
    return [deliveries.run(), standing.keep()]


async def _serve_and_take_in(
    server: Server, intakes: Sequence[Intake], besides: Sequence[Coroutine[Any, Any, None]]
) -> None:
    """Run all; when the server has been stopped the others end too, and a defect in one ends them all."""
    look_for_garbage_seldom()
    log.info("gateway_starting", version=__version__, python=sys.version.split()[0])
    async with asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(work) for work in (*(intake.run() for intake in intakes), *besides)]
        await server.serve()
        for other in others:
            other.cancel()


async def _accounts(settings: GatewaySettings, store: Store) -> dict[str, AccountSettings]:
    """The settings of each account by its id; what is not named there is not served."""
    by_name = settings.by_account()
    ids = await store.call(register_accounts, list(by_name), actor=GATEWAY_ACTOR)
    return {ids[name]: account for name, account in by_name.items()}


@asynccontextmanager
async def _store(settings: GatewaySettings) -> AsyncIterator[Store]:
    store = Store(open_database(settings.data_dir), settings.store_threads)
    try:
        yield store
    finally:
        store.close()


async def _master_key(store: Store) -> MasterKey | None:
    """The key that opens the secrets of all webhooks; None where they have none. Raises SettingsError."""
    master_key = load_master_key()
    unreadable = await store.call(unreadable_secrets, master_key)
    if unreadable:
        raise SettingsError(advice_on(unreadable))
    return master_key


@asynccontextmanager
async def _durable_work(
    settings: GatewaySettings, store: Store, sources: Sources, observers: Observers
) -> AsyncIterator[tuple[Deliveries, ReportRuns]]:
    """What an earlier process left is taken up at once, so the sources that it may ask are open already."""
    engine = DurableEngine("satchel-gateway", sqlite_url(settings.data_dir / _ENGINE_FILE))
    async with open_deliveries(
        settings.webhooks,
        store,
        engine,
        MessageTexts(sources.by_account),
        master_key=await _master_key(store),
        on_attempt=observers.metrics.note_delivery if observers.metrics is not None else None,
    ) as deliveries:
        report_runs = ReportRuns(store, engine)
        try:
            await engine.launch()
            yield deliveries, report_runs
        finally:
            deliveries.stop()
            await engine.shutdown(grace_seconds=_DELIVERY_GRACE_SECONDS)
