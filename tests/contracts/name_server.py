"""A name server of the tests' own: real DNS over UDP on loopback (RFC 1035); its answers may change with each query."""

import asyncio
import ipaddress
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

from aiohttp.abc import AbstractResolver, ResolveResult

# Records as people write them: an IPv4 or IPv6 address, or the name that an alias leads to.
Answer = Sequence[str]
_KINDS = {"A": 1, "CNAME": 5, "AAAA": 28}
_ANSWERED = 0x8580
_UNKNOWN_NAME = 3


class NameServer(asyncio.DatagramProtocol):
    """Gives the n-th query for a name and kind its n-th answer, the last one again and again; nothing may be kept."""

    def __init__(self, zone: Mapping[str, Sequence[Answer]]) -> None:
        self._zone = zone
        self._asked = Counter[tuple[str, int]]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, end = _name(data)
        (kind,) = struct.unpack_from("!H", data, end)
        answers = self._zone.get(name)
        records = [] if answers is None else self._records(name, kind, answers)
        flags = _ANSWERED | (_UNKNOWN_NAME if answers is None else 0)
        head = struct.pack("!2s5H", data[:2], flags, 1, len(records), 0, 0)
        self._transport.sendto(head + data[12 : end + 4] + b"".join(records), addr)

    def _records(self, name: str, kind: int, answers: Sequence[Answer]) -> list[bytes]:
        answer = answers[min(self._asked[name, kind], len(answers) - 1)]
        self._asked[name, kind] += 1
        records = []
        for text in answer:
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                records.append(_record(name, _KINDS["CNAME"], _labels(text)))
                records += self._records(text, kind, self._zone[text])
            else:
                if kind == (_KINDS["A"] if address.version == 4 else _KINDS["AAAA"]):
                    records.append(_record(name, kind, address.packed))
        return records


class AskingResolver(AbstractResolver):
    """Asks one name server for both kinds of addresses, each time anew, as the system's resolver asks its own."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = [address for kind in ("A", "AAAA") for address in await self._ask(host.rstrip("."), _KINDS[kind])]
        if not found:
            raise OSError(f"{host} has no address")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
            for address in found
        ]

    async def _ask(self, host: str, kind: int) -> list[str]:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(self._server)
            query = struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + _labels(host) + struct.pack("!2H", kind, 1)
            await loop.sock_sendall(client, query)
            return _addresses(await loop.sock_recv(client, 4096), kind)

    async def close(self) -> None:
        pass


@asynccontextmanager
async def name_server(
    zone: Mapping[str, Sequence[Answer]], address: tuple[str, int] = ("127.0.0.1", 0)
) -> AsyncIterator[tuple[str, int]]:
    """A server of these names, and where it listens."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(zone), local_addr=address)
    try:
        host, port = transport.get_extra_info("sockname")[:2]
        yield host, port
    finally:
        transport.close()


def _labels(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _name(data: bytes) -> tuple[str, int]:
    """The name that a query asks for, and where it ends."""
    at, labels = 12, []
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    return ".".join(labels), at + 1


def _record(name: str, kind: int, value: bytes) -> bytes:
    lives_seconds = 0
    return _labels(name) + struct.pack("!2HIH", kind, 1, lives_seconds, len(value)) + value


def _addresses(answer: bytes, kind: int) -> list[str]:
    (count,) = struct.unpack_from("!H", answer, 6)
    at, found = _name(answer)[1] + 4, []
    for _ in range(count):
        while length := answer[at]:
            at += 1 + length
        each, _, _, size = struct.unpack_from("!2HIH", answer, at + 1)
        value = answer[at + 11 : at + 11 + size]
        at += 11 + size
        if each == kind:
            found.append(str(ipaddress.ip_address(value)))
    return found
