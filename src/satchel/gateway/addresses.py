"""Who a client is by its address, also behind proxies, which only those that are trusted may say. Without I/O."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_PORT = re.compile(r":[0-9]{1,5}")
# What one customer gets at the least (RFC 6177), who may use any address in it.
_IPV6_CUSTOMER_BITS = 64


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and CIDR networks. Raises ValueError, which says what is wrong with which."""
    return tuple(map(_network, texts))


def _network(text: str) -> Network:
    try:
        return ip_network(text.strip())
    except ValueError:
        pass
    try:
        meant = ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is no address and no network: write 10.0.0.1, 10.0.0.0/8 or fd00::/8, not a name"
        ) from None
    raise ValueError(f"{text!r} has bits set behind its prefix; the network is {meant}")


def parse_address(text: str) -> Address | None:
    """An address as headers have it, also with a port or in brackets; None for anything else.

    An IPv4 address inside an IPv6 one is that IPv4 address, so that one client is not two.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text, closing, port = text[1:].partition("]")
        if not closing or (port and not _PORT.fullmatch(port)):
            return None
    elif text.count(":") == 1:
        text, colon, port = text.partition(":")
        if not _PORT.fullmatch(colon + port):
            return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    """Whether an address lies in one of the networks."""
    return any(address in network for network in trusted)


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The client's address: the last one of `X-Forwarded-For` that is no trusted proxy's.

    `forwarded_for` are the values of the header in their order. What stands before that address was written by someone
    who is not trusted, and is not looked at. Where there is nothing that is an address, it is the last trusted proxy.
    """
    found = parse_address(peer)
    if found is None or not is_trusted(found, trusted):
        return peer
    for entry in reversed(",".join(forwarded_for).split(",")):
        address = parse_address(entry)
        if address is None:
            break
        found = address
        if not is_trusted(address, trusted):
            break
    return str(found)


def client_group(address: str) -> str:
    """What is counted as one client: an IPv4 address, or the /64 that an IPv6 address lies in."""
    found = parse_address(address)
    if found is None:
        return address
    if found.version == 4:
        return str(found)
    return str(IPv6Network((int(found), _IPV6_CUSTOMER_BITS), strict=False))
