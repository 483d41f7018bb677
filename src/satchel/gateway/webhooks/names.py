"""The system's names for webhooks, looked up in threads of their own.

A name server that does not answer holds a thread for up to half a minute, and the event loop has only a few for all of
the gateway: receivers that cannot be found would keep it from finding its mail server.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult


class SystemResolver(AbstractResolver):
    """As many lookups at once as there are deliveries. Close it at the end."""

    def __init__(self, max_parallel: int) -> None:
        self._threads = ThreadPoolExecutor(max_parallel, "webhook-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name, of those kinds that this machine has. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _addresses, host, family)
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=socket.IPPROTO_TCP, flags=flags)
            for kind, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str, family: socket.AddressFamily) -> list[tuple[int, str]]:
    found = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [(kind, str(address[0])) for kind, _, _, _, address in found]
