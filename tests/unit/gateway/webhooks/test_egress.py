import ipaddress
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from satchel.gateway.addresses import parse_networks
from satchel.gateway.settings import WebhookSettings
from satchel.gateway.webhooks.egress import (
    STRICT,
    EgressPolicy,
    GuardedResolver,
    GuardedSockets,
    RefusedAddress,
    RefusedEndpoint,
    egress_policy,
)

EVERYTHING = EgressPolicy(allowed_networks=parse_networks(["0.0.0.0/0", "::/0"]))
LONGEST_LABEL = "a" * 63


class Names(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in self.addresses]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)
            for address, kind in zip(self.addresses, kinds, strict=True)
        ]

    async def close(self) -> None:
        pass


async def test_a_name_is_refused_when_any_of_its_addresses_is_inside() -> None:
    assert len(await GuardedResolver(Names("8.8.8.8", "9.9.9.9"), STRICT).resolve("e")) == 2
    for addresses in (("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("8.8.8.8", "fe80::1%eth0"), ("8.8.8.8", "x")):
        with pytest.raises(RefusedAddress):
            await GuardedResolver(Names(*addresses), STRICT).resolve("e")


async def test_of_many_addresses_a_few_of_each_kind_are_tried_and_all_looked_at() -> None:
    many = [address for n in range(1000) for address in (f"8.8.{n // 250}.{n % 250}", f"2606:4700::{n:x}")]
    found = await GuardedResolver(Names(*many), STRICT).resolve("e")
    assert [entry["host"] for entry in found] == many[:8]
    assert len(await GuardedResolver(Names(*["8.8.8.8"] * 1000), STRICT).resolve("e")) == 4
    with pytest.raises(RefusedAddress):
        await GuardedResolver(Names(*many, "10.0.0.1"), STRICT).resolve("e")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%1", "::ffff:0x7f.1", "v1.fe80", "localhost", ""])
def test_no_socket_is_made_for_what_is_no_allowed_address(host: str) -> None:
    with pytest.raises(RefusedAddress):
        GuardedSockets(STRICT)((socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 443)))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "https://example.com:8443/a?b=c",
        "https://EXAMPLE.com.",
        "https://sub_domain.example.com/#",
        "https://bücher.example/",
        "https://[2606:4700::1111]/",
        "https://8.8.8.8/",
        f"https://{LONGEST_LABEL}.example/",
        # Names are judged when they are looked up.
        "https://localhost/",
        "https://metadata.google.internal/",
    ],
)
def test_endpoints(url: str) -> None:
    assert STRICT.check(url).scheme == "https"


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
        "https:example.com",
        "https:/example.com",
        "https://user:pw@example.com/",
        "https://user@example.com/",
        "https://:pw@example.com/",
        "https://@example.com@example.org/",
        "https://example.com/#part",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://example.com:/",
        "https://example.com:+80/",
        "https://example.com:8_0/",
        "https://example.com:\N{FULLWIDTH DIGIT EIGHT}0/",
        "https://@example.com/",
        "https:\\\\example.com/",
        "https://exa mple.com/",
        " https://example.com/",
        "https://example.com/\r\nX: y",
        "https://example.com/\u202e",
        "https://example.com\\@example.org/",
        "https://[::1/",
        "https://[v1.fe80::a]/",
        "https://a..example.com/",
        f"https://{LONGEST_LABEL}a.example.com/",
        f"https://{'.'.join([LONGEST_LABEL] * 4)}.example/",
        "https://127.0.0.1%00.example.com/",
        "https://127%2e0%2e0%2e1/",
        "https://ex*mple.com/",
        # Forms of addresses that only some readers take for one.
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://8.8.8.8./",
        "https://8.8.8.0x8/",
        "https://1.2.3.4.5/",
        "https://[2606:4700::1111%25eth0]/",
        "https://8.8.8.8%25eth0/",
    ],
)
def test_refused_endpoints(url: str) -> None:
    with pytest.raises(RefusedEndpoint) as refused:
        STRICT.check(url)
    assert not isinstance(refused.value, RefusedAddress)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://[::1]:8443/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::127.0.0.1]/",
        "https://\N{FULLWIDTH DIGIT ONE}27.0.0.1/",
        "https://\N{CIRCLED DIGIT ONE}27.0.0.1/",
        "https://127\N{IDEOGRAPHIC FULL STOP}0.0.1/",
    ],
)
def test_addresses_inside_are_told_from_the_url(url: str) -> None:
    with pytest.raises(RefusedAddress, match="allowed_networks"):
        STRICT.check(url)


def test_http_where_it_is_allowed() -> None:
    policy = EgressPolicy(allow_http=True)
    assert policy.check("http://example.com:8026/webhook").port == 8026
    with pytest.raises(RefusedAddress):
        policy.check("http://127.0.0.1:8026/webhook")


def test_internal_receivers_where_they_are_allowed() -> None:
    policy = egress_policy(WebhookSettings(allowed_networks=["10.1.0.0/16", "fd12::/16"]))
    for host in ("10.1.2.3", "[::ffff:10.1.2.3]", "[fd12::1]", "8.8.8.8"):
        policy.check(f"https://{host}/")
    for host in ("10.2.0.1", "[fd13::1]", "127.0.0.1", "[64:ff9b::10.1.2.3]", "[2002:a01:203::1]"):
        with pytest.raises(RefusedAddress):
            policy.check(f"https://{host}/")


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "169.254.170.2",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::168.63.129.16",
        "2002:a9fe:a9fe::1",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        # Teredo, of a client at 169.254.169.254.
        "2001:0:808:808:0:0:5601:5601",
    ],
)
def test_metadata_is_opened_by_its_own_address_alone(address: str) -> None:
    found = ipaddress.ip_address(address)
    assert not EVERYTHING.allows(found)
    assert not EgressPolicy(allowed_networks=parse_networks(["169.254.169.0/31", "169.254.169.254/31"])).allows(found)
    plain = str(getattr(found, "ipv4_mapped", None) or found)
    assert EgressPolicy(allowed_networks=parse_networks([plain])).allows(found)
