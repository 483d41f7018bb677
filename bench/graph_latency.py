"""A list and the first byte of a download where each call to Graph takes 300 ms: through the gateway, beside a client
that asks Graph itself and so waits for nothing but those two calls."""

import asyncio
import json
import ssl
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.graph_upstream import MAILBOX, Upstream, upstream
from bench.harness import Result, less_is_better, process, wait_for, work_folder
from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.testing.graph import Faults
from satchel.testing.mail import message_with_files
from satchel.testing.stack import Stack

LATENCY_SECONDS = 0.3
MESSAGES = 10
SIZE = 100_000


@dataclass(frozen=True, slots=True)
class Times:
    """Of one message, in milliseconds."""

    listing: float
    first_byte: float


@dataclass(frozen=True, slots=True)
class Client:
    """Where lists and files are, for whom: paths from a message's id, and from that and an attachment."""

    session: aiohttp.ClientSession
    headers: dict[str, str]
    listing: Callable[[str], str]
    file: Callable[[str, str], str]
    named: str

    async def times(self, message_id: str) -> Times:
        begun = time.perf_counter()
        async with self.session.get(self.listing(message_id), headers=self.headers) as answer:
            answer.raise_for_status()
            attachment_id = (await answer.json())[self.named][0]["id"]
        listed = time.perf_counter()
        async with self.session.get(self.file(message_id, attachment_id), headers=self.headers) as answer:
            answer.raise_for_status()
            await answer.content.readany()
            first_byte = time.perf_counter()
            await answer.read()
        return Times((listed - begun) * 1000, (first_byte - listed) * 1000)


def _graph(session: aiohttp.ClientSession, graph: Upstream) -> Client:
    root = f"{graph.base_url}/v1.0/users/{MAILBOX}/messages"
    fields = "id,name,contentType,size,isInline,lastModifiedDateTime"
    return Client(
        session,
        {"Authorization": f"Bearer {graph.token}", "Prefer": 'IdType="ImmutableId"'},
        lambda message_id: f"{root}/{message_id}/attachments?$select={fields}",
        lambda message_id, attachment_id: f"{root}/{message_id}/attachments/{attachment_id}/$value",
        "value",
    )


def _gateway(session: aiohttp.ClientSession, stack: Stack) -> Client:
    return Client(
        session,
        {"Authorization": f"Bearer {stack.api_key}"},
        lambda message_id: stack.gateway_url + LIST_ATTACHMENTS.url(message_id=message_id),
        lambda message_id, attachment_id: (
            stack.gateway_url + DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=attachment_id)
        ),
        "attachments",
    )


async def _measure(graph: Upstream, stack: Stack) -> tuple[list[Times], list[Times]]:
    """Ours and the direct client's, message by message in turn. The first message opens the connections."""
    trust: Any = ssl.create_default_context(cafile=graph.ca_file)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
        clients = _gateway(session, stack), _graph(session, graph)
        found = [[await client.times(message_id) for client in clients] for message_id in graph.message_ids]
    return [each[0] for each in found[1:]], [each[1] for each in found[1:]]


def run(*, messages: int = MESSAGES) -> list[Result]:
    mails = [message_with_files(number, 2, SIZE) for number in range(messages + 1)]
    faults = Faults(latency_seconds=LATENCY_SECONDS)
    with work_folder("graph_latency") as folder, upstream(mails, faults=faults) as graph, ExitStack() as running:
        stack = Stack(folder / "stack", (MAILBOX,), gateway={"rate_limit_per_minute": 0, "log.level": "warning"})
        stack.folder.mkdir(parents=True)
        stack.prepare()
        arguments = {
            "config": str(stack.config_file),
            "base_url": graph.base_url,
            "ca_file": str(graph.ca_file),
            "token": graph.token,
            "message_ids": graph.message_ids,
            "transport": "aiohttp",
        }
        file = Path(folder, "gateway.json")
        file.write_text(json.dumps(arguments))
        running.enter_context(process([sys.executable, "-m", "bench.graph_gateway", str(file)], folder))
        wait_for(stack.gateway_port, 10 + 2 * LATENCY_SECONDS * messages)
        ours, theirs = asyncio.run(_measure(graph, stack))
    name, unit = "aiohttp to Graph itself", "ms"

    def middle(found: list[Times], what: Callable[[Times], float]) -> float:
        return statistics.median(map(what, found))

    return [
        less_is_better(f"graph_latency_{label}", middle(ours, what), middle(theirs, what), name, unit)
        for label, what in (
            ("list", lambda times: times.listing),
            ("first_byte", lambda times: times.first_byte),
            ("both", lambda times: times.listing + times.first_byte),
        )
    ]
