"""The system's names for webhooks, looked up in threads of their own.

A name server that does not answer holds a thread for up to half a minute, and the event loop has only a few for all of
the gateway: receivers that cannot be found would keep it from finding its mail server, and from ending.
"""

import asyncio
import socket
from contextlib import suppress
from threading import Thread

from aiohttp.abc import AbstractResolver, ResolveResult

_Found = list[tuple[int, str]]


class SystemResolver(AbstractResolver):
    """As many lookups at once as there are deliveries. What still hangs at the end of the process ends with it."""

    def __init__(self, max_parallel: int) -> None:
        self._places = asyncio.Semaphore(max_parallel)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name, of those kinds that this machine has. Raises OSError."""
        found = await self._look_up(host, family)
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=socket.IPPROTO_TCP, flags=flags)
            for kind, address in found
        ]

    async def close(self) -> None:
        """Nothing to be done: nobody waits for a lookup any more."""

    async def _look_up(self, host: str, family: socket.AddressFamily) -> _Found:
        """A lookup keeps its place until it ends, also where nobody waits for it any more."""
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[_Found] = loop.create_future()

        def end(found: _Found | Exception) -> None:
            self._places.release()
            if ended.done():
                return
            if isinstance(found, Exception):
                ended.set_exception(found)
            else:
                ended.set_result(found)

        def look_up() -> None:
            found: _Found | Exception
            try:
                found = _addresses(host, family)
            except Exception as error:  # noqa: BLE001 - it is whoever waits that it is for
                found = error
            # The loop may be closed by now.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(end, found)

        try:
            # As those of a pool would not, it lets the process end.
            Thread(target=look_up, name="webhook-names", daemon=True).start()
        except RuntimeError:
            self._places.release()
            raise OSError("no thread is left to look a name up") from None
        return await ended


def _addresses(host: str, family: socket.AddressFamily) -> _Found:
    found = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [(kind, str(address[0])) for kind, _, _, _, address in found]
