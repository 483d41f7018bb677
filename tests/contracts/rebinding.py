"""Names that try to lead a webhook inside: what each says first and later, and what must have become of two attempts.

Run as a program it plays them within a network of its own (Linux namespaces), where this machine's own resolver asks
a name server that lies and the public address is really there; it prints what happened as JSON.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import NamedTemporaryFile

from aiohttp.abc import AbstractResolver

from satchel.gateway.settings import WebhookSettings
from satchel.gateway.webhooks.sender import WebhookSender
from tests.contracts.name_server import Answer, name_server

PUBLIC, PUBLIC_IPV6 = "93.184.216.34", "2606:2800:220::1"
INSIDE = ("127.0.0.1", "::1")
REFUSED = "refused_address"


def lying_zone(public: str, public_ipv6: str) -> dict[str, Sequence[Answer]]:
    """By name, the answers in their order."""
    return {
        "honest.example.test": [[public]],
        "rebinding.example.test": [[public], ["127.0.0.1"]],
        "mixed.example.test": [[public, "127.0.0.1"]],
        "mixed-otherwise.example.test": [["127.0.0.1", public]],
        "both-kinds.example.test": [[public, "::1"]],
        "second-kind.example.test": [[public_ipv6, "127.0.0.1"]],
        "mapped.example.test": [["::ffff:127.0.0.1"]],
        "translated.example.test": [["64:ff9b::127.0.0.1"]],
        "unspecified.example.test": [["0.0.0.0"]],
        "metadata.example.test": [["169.254.169.254"]],
        "alias.example.test": [["internal.example.test"]],
        "alias-later.example.test": [[public], ["internal.example.test"]],
        "internal.example.test": [["127.0.0.1"]],
    }


def expected(public: str, public_ipv6: str) -> dict[str, list[str]]:
    """What two attempts must end with, by name: everything but an address outside is refused."""
    allowed = {public, public_ipv6}
    ends = {}
    for name, answers in lying_zone(public, public_ipv6).items():
        each = ["answered" if set(answer) <= allowed else REFUSED for answer in answers]
        ends[name] = [each[0], each[-1]]
    return ends


async def attempts(
    names: Sequence[str], port: int, settings: WebhookSettings, resolver: AbstractResolver | None = None
) -> dict[str, list[str]]:
    """How two attempts for each name end. Each has a sender of its own, so that no answer of before is kept."""
    ends: dict[str, list[str]] = {}
    for name in names:
        for _ in range(2):
            sender = WebhookSender(settings, resolver=resolver)
            outcome = await sender.post(f"http://{name}:{port}/webhook", ["s" * 16], b"{}", webhook_id="d-1")
            await sender.aclose()
            ends.setdefault(name, []).append(outcome.error or "answered")
    return ends


class Listeners:
    """One port of several addresses; answers a request with 200 and counts the connections of each."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: dict[str, int] = {}
        self._stack = AsyncExitStack()

    async def listen(self, addresses: Sequence[str]) -> None:
        for address in addresses:
            server = await asyncio.start_server(self._answer, address, self.port)
            self.port = self.port or server.sockets[0].getsockname()[1]
            self.connections[address] = 0
            await self._stack.enter_async_context(server)

    async def aclose(self) -> None:
        await self._stack.aclose()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections[writer.get_extra_info("sockname")[0]] += 1
        await reader.read(65536)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()


async def _play() -> Mapping[str, object]:
    zone = lying_zone(PUBLIC, PUBLIC_IPV6)
    listeners = Listeners()
    await listeners.listen([*INSIDE, PUBLIC, PUBLIC_IPV6])
    async with name_server(zone, ("127.0.0.1", 53)):
        ends = await attempts(list(zone), listeners.port, WebhookSettings(allow_http=True))
    await listeners.aclose()
    return {"ends": ends, "connections": listeners.connections}


def _make_network() -> None:
    """The public addresses here, and the name server as the system's. For a namespace of one's own alone."""
    for line in ("link set lo up", f"addr add {PUBLIC}/32 dev lo", f"addr add {PUBLIC_IPV6}/128 dev lo nodad"):
        subprocess.run(["ip", *line.split()], check=True)
    with NamedTemporaryFile("w") as file:
        file.write("nameserver 127.0.0.1\noptions timeout:2 attempts:2\n")
        file.flush()
        subprocess.run(["mount", "--bind", file.name, str(Path("/etc/resolv.conf").resolve())], check=True)


if __name__ == "__main__":
    _make_network()
    json.dump(asyncio.run(_play()), sys.stdout)
