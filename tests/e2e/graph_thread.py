"""The Graph simulator in a thread of the test's own, so that the test can look into it and change it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from satchel.testing.content import Given
from satchel.testing.graph import Faults, GraphSimulator
from satchel.testing.mail import file_part, message

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GraphThread:
    """A simulator that runs; `do` is the way to it."""

    simulator: GraphSimulator
    loop: asyncio.AbstractEventLoop

    def do(self, what: Callable[[GraphSimulator], T]) -> T:
        """What a function makes of the simulator, on its event loop."""

        async def done() -> T:
            return what(self.simulator)

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result(120)

    def put(self, mailbox: str, number: int) -> str:
        """Deliver a message with a small file; its id."""
        part = file_part(f"{number}.pdf", "application/pdf", Given(b"%PDF-1.7 " + str(number).encode()))
        mail = message(f"m{number}", f"Message {number}", [part])
        return self.do(lambda simulator: simulator.deliver(mailbox, mail))

    def gateway_settings(self, *mailboxes: str, **more: Any) -> dict[str, Any]:
        """By which a gateway finds it."""
        found = self.simulator
        graph = {
            "authority": found.base_url,
            "base_url": found.base_url,
            "ca_file": str(found.ca_file),
            "tenant_id": found.tenant_id,
            "client_id": found.client_id,
            "client_secret": found.client_secret,
            "mailboxes": list(mailboxes),
            **more,
        }
        return {"source": "graph", **{f"graph.{name}": value for name, value in graph.items()}}


@contextmanager
def graph_thread(*mailboxes: str, faults: Faults | None = None, seed: int = 0) -> Iterator[GraphThread]:
    """A simulator with mailboxes, over TLS on a free port, for the length of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    simulator = GraphSimulator(faults=faults, seed=seed)
    asyncio.run_coroutine_threadsafe(simulator.__aenter__(), loop).result(30)
    try:
        running = GraphThread(simulator, loop)
        for mailbox in mailboxes:
            running.do(lambda found, mailbox=mailbox: found.add_mailbox(mailbox))  # type: ignore[misc]
        yield running
    finally:
        asyncio.run_coroutine_threadsafe(simulator.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
