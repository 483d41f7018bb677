import ipaddress
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from satchel.gateway.webhooks.egress import (
    GuardedResolver,
    RefusedAddress,
    RefusedEndpoint,
    check_endpoint,
    is_public,
    literal_address,
)


class Names(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "fec0::1",
        "64:ff9b:1::7f00:1",
        "4000::1",
    ],
)
def test_addresses_inside_the_network(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


async def test_a_name_is_refused_when_any_of_its_addresses_is_inside() -> None:
    assert len(await GuardedResolver(Names("8.8.8.8", "9.9.9.9"), ()).resolve("e")) == 2
    for addresses in (("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("8.8.8.8", "fe80::1%eth0")):
        with pytest.raises(RefusedAddress):
            await GuardedResolver(Names(*addresses), ()).resolve("e")


@pytest.mark.parametrize("url", ["https://example.com/hook", "https://example.com:8443/a?b=c", "https://[2606::1]/"])
def test_endpoints(url: str) -> None:
    check_endpoint(url, allow_http=False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user:pw@example.com/",
        "https://user@example.com/",
        "https://example.com/#part",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://exa mple.com/",
        "https://example.com/\r\nX: y",
        "https://[::1/",
    ],
)
def test_refused_endpoints(url: str) -> None:
    with pytest.raises(RefusedEndpoint):
        check_endpoint(url, allow_http=False)


def test_http_where_it_is_allowed() -> None:
    check_endpoint("http://127.0.0.1:8026/webhook", allow_http=True)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://127.0.0.1/", "127.0.0.1"),
        ("https://[::1]:8443/", "::1"),
        ("https://[fe80::1%25eth0]/", "fe80::1"),
        ("https://localhost/", None),
        ("https://127.1/", None),
        ("https://\N{FULLWIDTH DIGIT ONE}27.0.0.1/", "127.0.0.1"),
        ("https://\N{CIRCLED DIGIT ONE}27.0.0.1/", "127.0.0.1"),
        ("https://127\N{IDEOGRAPHIC FULL STOP}0.0.1/", "127.0.0.1"),
    ],
)
def test_hosts_named_by_address_never_reach_the_resolver(url: str, address: str | None) -> None:
    assert literal_address(url) == (None if address is None else ipaddress.ip_address(address))
