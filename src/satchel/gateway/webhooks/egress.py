"""Where a webhook may be sent: the form of its URL, and the addresses that its name resolves to.

What is checked is what is connected to: the URL is read as the connection reads it, names are checked in the resolver
that the connection uses, and every address once more where its socket is made.
"""

import ipaddress
import re
import socket
from collections import Counter
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType
from yarl import URL

from satchel.gateway.addresses import Address, Network, parse_networks
from satchel.gateway.settings import WebhookSettings
from satchel.gateway.webhooks.address_space import is_metadata, is_public, unmapped

_NOT_A_URL = "The endpoint is not a URL: write it like https://example.com/webhook."
# Libraries read more than this as a URL, and not all of them the same.
_WRITTEN = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://(?P<credentials>[^/?#]*@)?(?:\[[^][]+\]|[^][/?#:]+)(?::[0-9]{1,5})?(?:[/?#].*)?"
)
_LABEL = "[a-z0-9_-]{1,63}"
_NAME = re.compile(rf"(?=.{{1,254}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
# What systems take for a part of an IPv4 address. No top-level domain looks like one.
_NUMBER_LAST = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
# So many of a name's addresses are tried, of either kind: all of them at once would be more connections than a process
# may have.
_TRIED_OF_A_KIND = 4
# What a receiver may send ahead. Answers are small, and one that floods has to do it little by little.
_RECEIVE_BUFFER_BYTES = 16 * 1024


class RefusedEndpoint(ValueError):
    """The endpoint is not one that webhooks are sent to; the message says what is."""


class RefusedAddress(RefusedEndpoint, OSError):
    """The endpoint is, or its name resolves to, an address that webhooks are not sent to.

    An OSError too, because that is what the HTTP library hands on from within a connection.
    """

    def __init__(self) -> None:
        super().__init__(
            "The endpoint lies inside the network; that needs [gateway.webhooks] allowed_networks with its address."
        )


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """https alone, unless `allow_http`; the open internet alone, and the `allowed_networks` inside one's own.

    Addresses of cloud metadata are refused everywhere but where one is named alone, as a network of one address.
    """

    allow_http: bool = False
    allowed_networks: tuple[Network, ...] = ()

    def check(self, url: str) -> URL:
        """The URL as it is to be connected to. Raises RefusedEndpoint, for a host that is an address RefusedAddress.

        A host that is a name is not looked up: its addresses are checked when it is connected to.
        """
        parsed = _parsed(url)
        if parsed.scheme == "http" and not self.allow_http:
            raise RefusedEndpoint("The endpoint must be https://; http:// needs [gateway.webhooks] allow_http = true.")
        if parsed.scheme not in {"http", "https"}:
            raise RefusedEndpoint("The endpoint must begin with https://.")
        address = _literal_address(parsed.raw_host or "")
        if address is not None and not self.allows(address):
            raise RefusedAddress
        return parsed

    def allows(self, address: Address) -> bool:
        """Whether webhooks may go to an address."""
        address = unmapped(address)
        networks = [network for network in self.allowed_networks if address in network]
        if is_metadata(address):
            return any(network.num_addresses == 1 for network in networks)
        return is_public(address) or bool(networks)

    def refuse_unless_allowed(self, host: str) -> None:
        """Raises RefusedAddress for what is to be connected to, unless it is an address that is allowed."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            raise RefusedAddress from None
        if not self.allows(address):
            raise RefusedAddress


STRICT = EgressPolicy()


def egress_policy(settings: WebhookSettings) -> EgressPolicy:
    """The policy that the settings ask for."""
    return EgressPolicy(settings.allow_http, parse_networks(settings.allowed_networks))


class GuardedResolver(AbstractResolver):
    """Resolves by another resolver and refuses names that lead to an address which is not allowed."""

    def __init__(self, resolver: AbstractResolver, policy: EgressPolicy) -> None:
        self._resolver = resolver
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """One address that is not allowed refuses the name as a whole, so that a mixed answer is no way in.

        Of many addresses, the first few of IPv4 and of IPv6.
        """
        found = await self._resolver.resolve(host, port, family)
        tried, of_kind = [], Counter[int]()
        for entry in found:
            self._policy.refuse_unless_allowed(entry["host"])
            of_kind[entry["family"]] += 1
            if of_kind[entry["family"]] <= _TRIED_OF_A_KIND:
                tried.append(entry)
        return tried

    async def close(self) -> None:
        await self._resolver.close()


class GuardedSockets:
    """Makes the sockets that connections are made with, and none for an address that is not allowed.

    The last look before a connection: nothing between here and the system reads the address again.
    """

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy

    def __call__(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, to = address
        self._policy.refuse_unless_allowed(str(to[0]))
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        return made


def _parsed(url: str) -> URL:
    if any(c.isspace() or not c.isprintable() for c in url):
        raise RefusedEndpoint(_NOT_A_URL)
    written = _WRITTEN.fullmatch(url)
    try:
        parsed = URL(url)
    except ValueError:
        raise RefusedEndpoint(_NOT_A_URL) from None
    if written is None or not parsed.raw_host or parsed.port == 0:
        raise RefusedEndpoint(_NOT_A_URL)
    if written["credentials"] is not None or parsed.raw_fragment:
        raise RefusedEndpoint("The endpoint may hold neither credentials nor a fragment; give a secret instead.")
    return parsed


def _literal_address(host: str) -> Address | None:
    """The address that a host is, None for a name. Raises RefusedEndpoint for what is neither in its plain form."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise RefusedEndpoint("The endpoint's address has a zone, which only its own machine knows: leave it out.")
    if address is not None:
        return address
    if _NUMBER_LAST.fullmatch(host):
        raise RefusedEndpoint("The endpoint's host is no name, nor an address in its usual form, such as 192.0.2.1.")
    if not _NAME.fullmatch(host):
        raise RefusedEndpoint("The endpoint's host is not a name: write it like example.com.")
    return None
