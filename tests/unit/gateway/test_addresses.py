"""Who the client is, given who says so."""

import pytest

from satchel.gateway.addresses import client_address, client_group, parse_address, parse_networks

PROXIES = parse_networks(["10.0.0.0/8", "192.0.2.7", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1, 10.2.3.4, 192.0.2.7"], "198.51.100.1"),
        ("10.0.0.1", ["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("fd00::1", ["2001:DB8:0::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("not an address", ["198.51.100.1"], "not an address"),
    ],
)
def test_the_last_address_that_is_no_proxy(peer: str, forwarded_for: list[str], expected: str) -> None:
    assert client_address(peer, forwarded_for, PROXIES) == expected


@pytest.mark.parametrize(
    "text", ["", "a", "1.2.3", "1.2.3.4.5", "1.2.3.4:", "1.2.3.4:x", "[::1]x", "[::1", "[1.2.3.4", "::1]:5"]
)
def test_what_is_no_address(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("socket", "socket"),
    ],
)
def test_what_counts_as_one_client(address: str, group: str) -> None:
    assert client_group(address) == group


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("proxy.example", "not a name"),
        ("", "not a name"),
        ("10.0.0.1/33", "not a name"),
        ("10.0.0.1/8", "the network is 10.0.0.0/8"),
        ("fd00::1/8", "the network is fd00::/8"),
    ],
)
def test_what_is_no_network(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        parse_networks([text])
