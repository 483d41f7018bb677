"""Where a webhook may be sent: the form of its URL, and the addresses that its name resolves to.

The addresses are checked in the resolver that the connection uses, so that what was checked is what is connected to.
"""

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from satchel.gateway.addresses import Network

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# All of IPv6 that is assigned to the open internet (IANA's registry of address space).
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class RefusedEndpoint(ValueError):
    """The endpoint's URL is not one that webhooks are sent to; the message says what is."""


class RefusedAddress(OSError):
    """The endpoint's name resolves to an address inside the network."""


def check_endpoint(url: str, *, allow_http: bool) -> None:
    """Raises RefusedEndpoint unless the URL is https (or http where allowed) with a host and without credentials."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise RefusedEndpoint("The endpoint is not a URL: write it like https://example.com/webhook.") from None
    if any(c.isspace() or not c.isprintable() for c in url) or not host or port == 0:
        raise RefusedEndpoint("The endpoint is not a URL: write it like https://example.com/webhook.")
    if parts.scheme == "http" and not allow_http:
        raise RefusedEndpoint("The endpoint must be https://; http:// needs [gateway.webhooks] allow_http = true.")
    if parts.scheme not in {"http", "https"}:
        raise RefusedEndpoint("The endpoint must begin with https://.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise RefusedEndpoint("The endpoint may hold neither credentials nor a fragment; give a secret instead.")


def literal_address(url: str) -> IPAddress | None:
    """The address of a URL that names its host by one; such a host never comes to the resolver.

    Read as the connection reads it, which takes full-width or circled digits and ideographic full stops for one too.
    """
    try:
        return ipaddress.ip_address((URL(url).raw_host or "").partition("%")[0])
    except ValueError:
        return None


def is_public(address: IPAddress) -> bool:
    """Whether an address is one of the open internet, also when it is an IPv4 address wrapped in an IPv6 one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        # Python of some patch levels calls more than this global: site-local addresses, NAT64 of one's own network.
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def is_allowed(address: IPAddress, networks: Sequence[Network]) -> bool:
    """Whether webhooks may go to an address: one of the open internet, or of the `networks` that are allowed."""
    return is_public(address) or any(address in network for network in networks)


class GuardedResolver(AbstractResolver):
    """Resolves by another resolver and refuses names that lead to an address which is not allowed."""

    def __init__(self, resolver: AbstractResolver, networks: Sequence[Network]) -> None:
        self._resolver = resolver
        self._networks = networks

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """One address inside the network refuses the name as a whole, so that a mixed answer is no way in."""
        found = await self._resolver.resolve(host, port, family)
        addresses = [ipaddress.ip_address(entry["host"].partition("%")[0]) for entry in found]
        if not all(is_allowed(address, self._networks) for address in addresses):
            raise RefusedAddress("the endpoint's name resolves to an address inside the network")
        return found

    async def close(self) -> None:
        await self._resolver.close()
