"""`python -m bench.proxied_gateway CONFIG UPSTREAM [PORT]`: the gateway's API in front of an HTTP upstream.

With PORT it answers there without its own checks: no key, no rate, no index, no audit trail.
"""

import sys
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from bench.upstream import MAILBOX, MESSAGE_ID, HttpSource
from satchel.contract.routes import Route
from satchel.gateway.admission import AccountMessage, Admission, Caller
from satchel.gateway.api.application import build_application
from satchel.gateway.api.boundary import NOBODY, Observers
from satchel.gateway.api.protocol import EnvelopeProtocol
from satchel.gateway.audit.recorder import Recorder
from satchel.gateway.limits.opening import open_limits
from satchel.gateway.reports.reporting import Reporting
from satchel.gateway.service import AttachmentService
from satchel.gateway.settings import GatewaySettings
from satchel.gateway.store.database import Store, open_database
from satchel.gateway.store.messages import Arrival, record_arrivals
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID
from satchel.mail.source import MessageRef
from satchel.process.garbage import look_for_garbage_seldom
from satchel.process.logs import configure_logs
from satchel.process.server import Server

REF = MessageRef(MAILBOX, MESSAGE_ID, MESSAGE_ID)


class NoChecks(Admission):
    """Lets everything in."""

    async def admit(self, authorization: str | None, route: Route, message_id: str, caller: Caller) -> AccountMessage:
        return AccountMessage(DEFAULT_ACCOUNT_ID, REF)


async def ready() -> dict[str, bool]:
    return {}


async def serve(config: Path, upstream: str, unchecked_port: int | None) -> None:
    settings = GatewaySettings.load(config)
    configure_logs(settings.log)
    async with AsyncExitStack() as opened:
        source = HttpSource(upstream)
        opened.push_async_callback(source.aclose)
        store = Store(open_database(settings.data_dir), settings.store_threads)
        opened.callback(store.close)
        await store.call(record_arrivals, DEFAULT_ACCOUNT_ID, [Arrival(REF, await source.describe(REF))])
        rates = {DEFAULT_ACCOUNT_ID: settings.rate_limit_per_minute}
        limits, _ = await opened.enter_async_context(open_limits(settings.limits, rates))
        admission, observers = NoChecks(store, limits), NOBODY
        if unchecked_port is None:
            recorder = Recorder(store)
            await opened.enter_async_context(recorder.running())
            admission, observers = Admission(store, limits), Observers(recorder)
        application = build_application(
            admission,
            AttachmentService({DEFAULT_ACCOUNT_ID: source}),
            Reporting(store),
            ready,
            observers=observers,
        )
        server = Server(
            application,
            host="127.0.0.1",
            port=settings.listen_port if unchecked_port is None else unchecked_port,
            grace_seconds=1,
            protocol=EnvelopeProtocol,
        )
        look_for_garbage_seldom()
        await server.serve()


if __name__ == "__main__":
    config, upstream, *port = sys.argv[1:]
    uvloop.run(serve(Path(config), upstream, int(port[0]) if port else None))
