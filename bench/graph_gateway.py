"""`python -m bench.graph_gateway ARGUMENTS`: the API of the gateway over the Graph source, for one mailbox.

ARGUMENTS is a JSON file: config, base_url, ca_file, token, message_ids, transport. Key, rate, index and audit trail are
those of the gateway; what the source remembers is kept in memory.
"""

import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop

from bench.graph_upstream import MAILBOX
from satchel.gateway.admission import Admission
from satchel.gateway.api.application import build_application
from satchel.gateway.api.boundary import Observers
from satchel.gateway.api.protocol import EnvelopeProtocol
from satchel.gateway.audit.recorder import Recorder
from satchel.gateway.limits.opening import open_limits
from satchel.gateway.reports.reporting import Reporting
from satchel.gateway.service import AttachmentService
from satchel.gateway.settings import GatewaySettings
from satchel.gateway.store.database import Store, open_database
from satchel.gateway.store.messages import Arrival, record_arrivals
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.options import CallOptions, GraphOptions
from satchel.mail.graph.source import GraphSource
from satchel.mail.graph.transport import AiohttpTransport
from satchel.mail.source import MessageRef
from satchel.process.garbage import look_for_garbage_seldom
from satchel.process.logs import configure_logs
from satchel.process.server import Server
from satchel.testing.host import MemoryHost


class FixedToken:
    """A `TokenSource` of one token."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str:
        return self._token

    async def renewed(self, stale: str) -> str:
        return self._token

    async def aclose(self) -> None:
        pass


def source(base_url: str, ca_file: str | None, token: str, *, transport: str = "aiohttp") -> GraphSource:
    """The source over one of the two HTTP libraries."""
    # As many downloads at once as there are readers: how many Exchange would allow is not what is measured.
    calls = CallOptions(
        base_url=base_url,
        ca_file=Path(ca_file) if ca_file else None,
        max_concurrent=100,
        max_concurrent_per_mailbox=100,
    )
    tokens = FixedToken(token)
    if transport == "aiohttp":
        made: Any = AiohttpTransport
    else:
        from bench.pyreqwest_transport import PyreqwestTransport as made  # noqa: N813 - imported only where it is tried
    return GraphSource(
        GraphOptions([MAILBOX], calls), tokens, MemoryHost(), http=GraphHttp(calls, tokens, transport=made)
    )


async def serve(arguments: dict[str, Any]) -> None:
    settings = GatewaySettings.load(Path(arguments["config"]))
    configure_logs(settings.log)
    async with AsyncExitStack() as opened:
        graph = source(
            arguments["base_url"], arguments["ca_file"], arguments["token"], transport=arguments["transport"]
        )
        opened.push_async_callback(graph.aclose)
        store = Store(open_database(settings.data_dir), settings.store_threads)
        opened.callback(store.close)
        refs = [MessageRef(MAILBOX, message_id, message_id) for message_id in arguments["message_ids"]]
        arrivals = [Arrival(ref, await graph.describe(ref)) for ref in refs]
        await store.call(record_arrivals, DEFAULT_ACCOUNT_ID, arrivals)
        rates = {DEFAULT_ACCOUNT_ID: settings.rate_limit_per_minute}
        limits, _ = await opened.enter_async_context(open_limits(settings.limits, rates))
        recorder = Recorder(store)
        await opened.enter_async_context(recorder.running())
        application = build_application(
            Admission(store, limits),
            AttachmentService({DEFAULT_ACCOUNT_ID: graph}),
            Reporting(store),
            _ready,
            observers=Observers(recorder),
        )
        server = Server(
            application,
            host="127.0.0.1",
            port=settings.listen_port,
            grace_seconds=1,
            protocol=EnvelopeProtocol,
        )
        look_for_garbage_seldom()
        await server.serve()


async def _ready() -> dict[str, bool]:
    return {}


if __name__ == "__main__":
    uvloop.run(serve(json.loads(Path(sys.argv[1]).read_text("utf-8"))))
