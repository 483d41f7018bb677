"""Which addresses are of the open internet (IANA's registries of special purposes), and which serve metadata. No I/O.

The tables are our own: what Python calls global differs between its patch levels.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from satchel.gateway.addresses import Address

_SPECIAL_IPV4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by customers of one carrier
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_SPECIAL_IPV6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, among them Teredo and benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3ffe::/16",  # 6bone, given back
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
# The last 32 bits of these are an IPv4 address: compatible, mapped, translated, and both kinds of NAT64.
_ENDING_IN_IPV4 = (
    IPv6Network("::/96"),
    IPv6Network("::ffff:0:0/96"),
    IPv6Network("::ffff:0:0:0/96"),
    _NAT64,
    IPv6Network("64:ff9b:1::/48"),
)
# Where clouds tell a machine its credentials, and their hosts' own services. Some are in the open address space.
METADATA = frozenset[Address](
    (
        IPv4Address("169.254.169.254"),  # AWS, Azure, Google, Oracle, DigitalOcean, Hetzner, OpenStack
        IPv4Address("169.254.169.253"),  # AWS: names
        IPv4Address("169.254.170.2"),  # AWS: containers
        IPv4Address("169.254.170.23"),  # AWS: pods
        IPv4Address("169.254.0.23"),  # Tencent
        IPv4Address("169.254.42.42"),  # Scaleway
        IPv4Address("100.100.100.200"),  # Alibaba
        IPv4Address("168.63.129.16"),  # Azure: the host
        IPv4Address("192.0.0.192"),  # Oracle
        IPv6Address("fd00:ec2::254"),  # AWS
        IPv6Address("fd00:ec2::253"),
        IPv6Address("fd00:ec2::23"),
        IPv6Address("fd20:ce::254"),  # Google
        IPv6Address("fd00:42::42"),  # Scaleway
        IPv6Address("fd00:c1::a9fe:a9fe"),  # Oracle
    )
)


def unmapped(address: Address) -> Address:
    """The IPv4 address that an IPv4-mapped one is to the system which connects, or else the address itself."""
    return getattr(address, "ipv4_mapped", None) or address


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet. Behind NAT64 it is what the IPv4 address in it is."""
    address = unmapped(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_IPV4)
    if address in _NAT64:
        return is_public(_last_32_bits(address))
    return address in _GLOBAL_UNICAST and not any(address in network for network in _SPECIAL_IPV6)


def is_metadata(address: Address) -> bool:
    """Whether an address, or an IPv4 address wrapped in it, is one of `METADATA`."""
    return address in METADATA or any(inner in METADATA for inner in _wrapped(address))


def _wrapped(address: Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    inner = [address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in _ENDING_IN_IPV4):
        inner.append(_last_32_bits(address))
    return [each for each in inner if each is not None]


def _last_32_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)
