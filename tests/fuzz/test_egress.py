"""Where webhooks may go, over all addresses and all that can be written for one."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given
from hypothesis import strategies as st

from satchel.gateway.webhooks.address_space import is_public
from satchel.gateway.webhooks.egress import STRICT, RefusedEndpoint

IPV4 = st.integers(0, 2**32 - 1).map(IPv4Address)
# Half of them in the part that is assigned to the open internet.
IPV6 = st.builds(
    lambda number, above: IPv6Address(number | above), st.integers(0, 2**125 - 1), st.sampled_from([0, 1 << 125])
)
HOSTS = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="0123456789abcdefx.:[]%@\\/?#-_１。①２ ", max_size=40),
    IPV4.map(str),
    IPV6.map(lambda address: f"[{address}]"),
)


@given(st.one_of(IPV4, IPV6, st.ip_addresses()))
def test_what_python_calls_special_is_not_public(address: IPv4Address | IPv6Address) -> None:
    if address.is_private or address.is_multicast or address.is_link_local or address.is_loopback:
        mapped = getattr(address, "ipv4_mapped", None)
        assert not is_public(address) or (mapped is not None and mapped.is_global)


@given(IPV4)
def test_a_wrapped_address_is_public_only_where_it_is_itself(address: IPv4Address) -> None:
    for outside in ("::ffff:0:0", "64:ff9b::"):
        assert is_public(IPv6Address(int(IPv6Address(outside)) | int(address))) == is_public(address)
    for outside in ("::", "::ffff:0:0:0", "64:ff9b:1::", "2001:0:808:808::"):
        assert not is_public(IPv6Address(int(IPv6Address(outside)) | int(address)))
    assert not is_public(IPv6Address(int(IPv6Address("2002::")) | int(address) << 80))


@given(HOSTS, st.sampled_from(["", "/", ":443/", ":80", "@example.com/", "?x", "#y"]))
def test_a_url_is_taken_only_with_a_host_that_is_a_name_or_a_public_address(host: str, rest: str) -> None:
    try:
        url = STRICT.check(f"https://{host}{rest}")
    except RefusedEndpoint:
        return
    assert url.raw_host is not None
    assert url.raw_host.isascii()
    assert url.raw_user is None
    try:
        address = ip_address(url.raw_host)
    except ValueError:
        assert not url.raw_host.rstrip(".").rpartition(".")[2].isdigit()
    else:
        assert is_public(address)
