"""Puts the collector together and runs it: receiver → ledger → durable workflows → API client → sink."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from math import inf

import structlog
import uvloop

from satchel import __version__
from satchel.client import NO_RETRIES, AsyncClient, ConfigurationError, RetryPolicy
from satchel.collector.ledger import Ledger, open_ledger
from satchel.collector.receiver import ReceiverOptions, build_receiver
from satchel.collector.settings import CollectorSettings
from satchel.collector.sinks.local import LocalSink
from satchel.collector.sinks.sink import Sink
from satchel.collector.workflows import Collecting, CollectingOptions
from satchel.durable.database import sqlite_url
from satchel.durable.engine import DurableEngine
from satchel.process.lock import data_folder_lock
from satchel.process.logs import configure_logs, error_place
from satchel.process.server import Server
from satchel.settings import SettingsError

_ENGINE_FILE = "durable.sqlite"

log = structlog.get_logger(__name__)


def run(settings: CollectorSettings) -> None:
    """Serve on an event loop of its own until the process is asked to stop. Raises as `serve` does."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


async def serve(settings: CollectorSettings) -> None:
    """Run the collector until SIGTERM or SIGINT; what is under way then ends within the grace or is resumed later.

    Raises SettingsError, also for a gateway URL or API key that cannot be right, DataFolderInUse, CannotListen (in a
    group), SinkError when the folder for the files cannot be used, and what opening the databases raises.
    """
    configure_logs(settings.log)
    log.info("collector_starting", version=__version__, python=sys.version.split()[0])
    async with AsyncExitStack() as stack:
        stack.enter_context(data_folder_lock(settings.data_dir, "collector"))
        ledger = await stack.enter_async_context(_ledger(settings))
        sink = await stack.enter_async_context(_sink(settings))
        client = await stack.enter_async_context(_client(settings))
        engine = DurableEngine("satchel-collector", sqlite_url(settings.data_dir / _ENGINE_FILE))
        collecting = Collecting(ledger, engine, client, sink, _collecting_options(settings))
        receiver = build_receiver(collecting, _receiver_options(settings))
        server = Server(
            receiver,
            host=settings.listen_host,
            port=settings.listen_port,
            grace_seconds=settings.shutdown_grace_seconds,
        )
        await stack.enter_async_context(_working(engine, collecting, server))
        async with asyncio.TaskGroup() as tasks:
            routines = [
                tasks.create_task(_take_up(collecting, settings.sweep_seconds)),
                tasks.create_task(_sweep(sink, settings.sweep_seconds)),
            ]
            await server.serve()
            for routine in routines:
                routine.cancel()
    log.info("collector_stopped")


@asynccontextmanager
async def _ledger(settings: CollectorSettings) -> AsyncIterator[Ledger]:
    ledger = Ledger(open_ledger(settings.data_dir))
    try:
        yield ledger
    finally:
        await ledger.aclose()


@asynccontextmanager
async def _sink(settings: CollectorSettings) -> AsyncIterator[Sink]:
    sink = LocalSink(settings.local.root, threads=settings.concurrency)
    try:
        yield sink
    finally:
        await sink.aclose()


def _client(settings: CollectorSettings) -> AsyncClient:
    """The SDK without retries: the attempts are ours, durable, and counted in the ledger."""
    if settings.api_key is None:
        raise SettingsError("[collector] api_key is needed to serve. `satchel gateway keys create` makes one.")
    try:
        return AsyncClient(
            settings.gateway_url,
            settings.api_key.get_secret_value(),
            retry=NO_RETRIES,
            allow_http=settings.allow_http,
        )
    except ConfigurationError as error:
        raise SettingsError(f"[collector] gateway_url, api_key: {error}") from None


def _collecting_options(settings: CollectorSettings) -> CollectingOptions:
    return CollectingOptions(
        rules=[row.rule() for row in settings.rules],
        retry=RetryPolicy(
            max_attempts=settings.retry.max_attempts,
            base_seconds=settings.retry.base_seconds,
            cap_seconds=settings.retry.cap_seconds,
            patience_seconds=inf,
        ),
        concurrency=settings.concurrency,
        jitter=random.random,
    )


@asynccontextmanager
async def _working(engine: DurableEngine, collecting: Collecting, server: Server) -> AsyncIterator[None]:
    """The engine runs in the block. What it does at the end of that has what the server left of the grace."""
    try:
        await engine.launch()
        yield
    finally:
        await collecting.aclose()
        await engine.shutdown(grace_seconds=server.grace_left_seconds)


def _receiver_options(settings: CollectorSettings) -> ReceiverOptions:
    secret = settings.webhook_secret
    if secret is None:
        log.warning("webhook_secret_unset", advice="Whoever reaches the port is believed. Set webhook_secret.")
    return ReceiverOptions(
        path=settings.webhook_path,
        secrets=tuple(each.get_secret_value() for each in (secret, settings.webhook_secret_next) if each is not None),
        max_event_bytes=settings.max_event_bytes,
        max_pending_events=settings.max_pending_events,
        trust_has_attachments=settings.trust_has_attachments,
        inline_timeout_seconds=settings.inline_timeout_seconds if settings.mode == "inline" else None,
    )


async def _take_up(collecting: Collecting, sweep_seconds: float) -> None:
    """At the start, periodically, and when there is room: work of the ledger that nobody asked for yet."""
    while True:
        await guarded("taken_up", collecting.ask_for_unfinished)
        await collecting.until_few(timeout_seconds=sweep_seconds)


async def _sweep(sink: Sink, every_seconds: float) -> None:
    """At the start and then periodically: temporary files of nobody."""
    while True:
        await guarded("swept", sink.sweep)
        await asyncio.sleep(every_seconds)


async def guarded(what: str, routine: Callable[[], Awaitable[int]]) -> None:
    """One round, which may fail in any way: the next one comes nevertheless."""
    try:
        count = await routine()
    except Exception as error:  # noqa: BLE001 - a routine that ended would be missed by nobody
        log.warning("routine_failed", routine=what, error=type(error).__name__, where=error_place(error))
    else:
        if count:
            log.info(what, count=count)
