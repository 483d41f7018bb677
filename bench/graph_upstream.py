"""Microsoft Graph as the benchmarks see it: the simulator in a thread of this process, with a token for it."""

import asyncio
import json
import ssl
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from satchel.testing.graph import Faults, GraphSimulator, Limits
from satchel.testing.mail import SampleMessage

MAILBOX = "invoices@example.test"
# What is measured is the client; of the limits of Exchange only those on calls under way are kept.
LIMITS = Limits(requests=10**9)


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where it is, and what is in it. `ca_file` is None where it speaks plain HTTP."""

    base_url: str
    ca_file: Path | None
    token: str
    message_ids: tuple[str, ...]


@contextmanager
def upstream(
    messages: Sequence[SampleMessage], *, tls: bool = True, faults: Faults | None = None, limits: Limits = LIMITS
) -> Iterator[Upstream]:
    """A tenant with one mailbox and these messages in it, as long as the block."""
    started = threading.Event()
    found: list[Upstream | BaseException] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with GraphSimulator(tls=tls, faults=faults, limits=limits) as simulator:
            simulator.add_mailbox(MAILBOX)
            ids = [await asyncio.to_thread(simulator.deliver, MAILBOX, message) for message in messages]
            token = await asyncio.to_thread(_token, simulator)
            found.append(Upstream(simulator.base_url, simulator.ca_file, token, tuple(ids)))
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:
            found.append(error)
            started.set()
            raise

    thread = threading.Thread(target=run, name="graph")
    thread.start()
    started.wait()
    try:
        if isinstance(found[0], BaseException):
            raise found[0]
        yield found[0]
    finally:
        if loop.is_running():
            loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def _token(simulator: GraphSimulator) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "scope": "https://graph.microsoft.com/.default",
    }
    context = ssl.create_default_context(cafile=simulator.ca_file) if simulator.ca_file is not None else None
    url = f"{simulator.base_url}/{simulator.tenant_id}/oauth2/v2.0/token"
    with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), 30, context=context) as answer:
        token: str = json.load(answer)["access_token"]
        return token
