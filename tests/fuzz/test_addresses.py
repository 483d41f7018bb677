"""X-Forwarded-For is anybody's text: it is read without raising, and only trusted proxies can move the client."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from satchel.gateway.addresses import client_address, client_group, is_trusted, parse_address, parse_networks

PROXIES = parse_networks(["10.0.0.0/8", "fd00::/8"])
IPS = st.ip_addresses().map(str)
TRUSTED = st.ip_addresses(network="10.0.0.0/8").map(str) | st.ip_addresses(network="fd00::/8").map(str)
WORDS = st.sampled_from([",", " ", "[", "]", ":", "%", '"', ".", "::ffff:", "unknown", "10.0.0.1", "1.1.1.1", "65536"])
TEXTS = st.text(max_size=60) | st.lists(WORDS | IPS, max_size=20).map("".join)
ENTRIES = TEXTS | IPS | TRUSTED
HEADERS = st.lists(ENTRIES, max_size=12).map(",".join)


@given(TEXTS)
def test_any_text_is_an_address_or_none(text: str) -> None:
    found = parse_address(text)
    assert found is None or parse_address(str(found)) == found
    assert client_group(client_group(text)) is not None


@given(TRUSTED, st.lists(HEADERS, max_size=3))
def test_a_client_is_always_an_address(peer: str, values: list[str]) -> None:
    assert ip_address(client_address(peer, values, PROXIES)).version in {4, 6}


@given(IPS.filter(lambda text: not is_trusted(ip_address(text), PROXIES)), st.lists(HEADERS, max_size=3))
def test_nobody_else_is_believed(peer: str, values: list[str]) -> None:
    assert client_address(peer, values, PROXIES) == peer


@given(HEADERS, IPS, st.lists(TRUSTED, max_size=4))
def test_what_a_client_sends_itself_changes_nothing(forged: str, client: str, proxies: list[str]) -> None:
    real = parse_address(client)
    assert real is not None
    header = ", ".join([forged, client, *proxies])
    if not is_trusted(real, PROXIES):
        assert client_address("10.0.0.1", [header], PROXIES) == str(real)
