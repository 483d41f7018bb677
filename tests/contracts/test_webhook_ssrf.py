"""Ways to write an address inside, each tried against servers that listen there: no connection is ever made."""

from collections.abc import AsyncIterator, Iterable

import pytest
from yarl import URL

from satchel.gateway.settings import WebhookSettings
from satchel.gateway.webhooks.decision import Outcome
from satchel.gateway.webhooks.egress import STRICT, EgressPolicy, RefusedEndpoint
from satchel.gateway.webhooks.sender import WebhookSender
from tests.contracts.rebinding import Listeners
from tests.contracts.webhook_receivers import Receiver, answering, started

LOOPBACK = ("127.0.0.1", "127.0.0.2", "127.255.255.254", "::1")
# Hosts that name an address inside in the form that everybody reads as one, some after Unicode's normal form.
ADDRESSES = (
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "0.0.0.0",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::0.0.0.1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7F00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0.0.0.0]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:7f00:1::1]",
    "[2001:0:7f00:1::]",
    "[2001:0:808:808::80ff:fffe]",
    "[fe80::1]",
    "[fc00::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "１２７.０.０.１",
    "①②⑦.⓪.⓪.①",
    "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::168.63.129.16]",
)
# Hosts that some read as an address, or as another host than others do.
FORMS = (
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "127.0.0.1..",
    "127.000.000.001",
    "127.0.0.01",
    "127.0.0.0x1",
    "0",
    "0x0",
    "0.0",
    "2130706433",
    "6425673729",
    "0x7f000001",
    "0X7F000001",
    "0x7f.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "0177.0000.0000.0001",
    "0177.1",
    "00000000177.0.0.1",
    "127.0x0.1",
    "１２７.1",
    "２１３０７０６４３３",
    "０x7f.1",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::1%lo]",
    "[::1%25lo]",
    "[::1%251]",
    "[fe80::1%25lo]",
    "[::ffff:127.0.0.1%25lo]",
    "127.0.0.1%25lo",
    "[::ffff:127.1]",
    "[::ffff:0x7f.1]",
    "[127.0.0.1]",
    "[v1.127.0.0.1]",
    "[[::1]]",
    "[::1]]",
    "::1",
    "127%2e0%2e0%2e1",
    "127.0.0.1%00.example.com",
    "localhost%00.example.com",
    "127.0.0.1\0.example.com",
    "127.0.0.1\u200b",
    "127.0.0.1\u00ad",
    "127.0.0.1\t",
    "127.0.\n0.1",
    " 127.0.0.1",
    "loc\talhost",
    "example.com@127.0.0.1",
    "example.com:80@127.0.0.1",
    "127.0.0.1\\@example.com",
    "example.com\\@127.0.0.1",
    "127.0.0.1:1@127.0.0.1",
    "@127.0.0.1",
    ":@127.0.0.1",
    "/127.0.0.1",
    "\\\\127.0.0.1",
    "example.com:80:",
    "example.com:80\uff0f@127.0.0.1",
    "example.com#@127.0.0.1",
    "localhost..",
    ".localhost",
)
NAMES = ("localhost", "LOCALHOST", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ")
LOCAL = WebhookSettings(allow_http=True, allowed_networks=["127.0.0.0/8", "::1"])


@pytest.fixture
async def listeners() -> AsyncIterator[Listeners]:
    listening = Listeners()
    await listening.listen(LOOPBACK)
    yield listening
    await listening.aclose()


async def ends(hosts: Iterable[str], port: int) -> dict[str, set[Outcome]]:
    """What attempts end with, by host: those of the strict policy, and of one that takes http://."""
    found: dict[str, set[Outcome]] = {}
    for scheme, settings in (("https", WebhookSettings()), ("http", WebhookSettings(allow_http=True))):
        sender = WebhookSender(settings)
        for host in hosts:
            url = f"{scheme}://{host}:{port}/webhook"
            found.setdefault(host, set()).add(await sender.post(url, ["s" * 16], b"{}", webhook_id="d-1"))
        await sender.aclose()
    return found


async def test_addresses_inside_are_refused(listeners: Listeners) -> None:
    refused = Outcome(error="refused_address", refused=True)
    assert len(ADDRESSES) + len(FORMS) >= 100
    assert await ends((*ADDRESSES, *NAMES), listeners.port) == {host: {refused} for host in (*ADDRESSES, *NAMES)}
    assert listeners.connections == dict.fromkeys(LOOPBACK, 0)


async def test_forms_that_are_read_in_more_than_one_way_are_refused(listeners: Listeners) -> None:
    refused = Outcome(error="refused_endpoint", refused=True)
    assert await ends(FORMS, listeners.port) == {host: {refused} for host in FORMS}
    assert listeners.connections == dict.fromkeys(LOOPBACK, 0)


@pytest.mark.parametrize("host", [*ADDRESSES, *FORMS])
def test_they_are_refused_already_where_a_webhook_is_added(host: str) -> None:
    with pytest.raises(RefusedEndpoint):
        STRICT.check(f"https://{host}:8443/webhook")


async def test_the_socket_is_the_last_to_look(listeners: Listeners, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EgressPolicy, "check", lambda _self, url: URL(url))
    hosts = ("127.0.0.1", "[::1]", "[::1%25lo]", "[::ffff:127.1]", "[::ffff:0x7f.1]")
    refused = Outcome(error="refused_address", refused=True)
    assert await ends(hosts, listeners.port) == {host: {refused} for host in hosts}
    assert listeners.connections == dict.fromkeys(LOOPBACK, 0)


async def test_the_listeners_are_there_and_answer_where_they_are_allowed(listeners: Listeners) -> None:
    sender = WebhookSender(LOCAL)
    hosts = ("127.0.0.1", "127.0.0.2", "127.255.255.254", "[::1]", "[::ffff:127.0.0.1]", "①②⑦.⓪.⓪.①", "localhost")
    for host in hosts:
        outcome = await sender.post(f"http://{host}:{listeners.port}/", [], b"{}", webhook_id="d-1")
        assert outcome.status == 200, host
    await sender.aclose()
    assert sum(listeners.connections.values()) == len(hosts)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_to_addresses_inside_are_not_followed(listeners: Listeners, status: int) -> None:
    receiver = Receiver()
    runner = await started(receiver)
    sender = WebhookSender(LOCAL)
    for inside in ("http://127.0.0.1:{}/", "//[::1]:{}/x", "http://169.254.169.254/latest/"):
        receiver.handler = answering(status, Location=inside.format(listeners.port))
        assert (await sender.post(receiver.url, [], b"{}", webhook_id="d-1")).status == status
    await sender.aclose()
    await runner.cleanup()
    assert len(receiver.requests) == 3
    assert listeners.connections == dict.fromkeys(LOOPBACK, 0)


async def test_proxies_of_the_environment_are_not_used(listeners: Listeners, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{listeners.port}")
    receiver = Receiver(handler=answering(200))
    runner = await started(receiver)
    sender = WebhookSender(LOCAL)
    assert (await sender.post(receiver.url, [], b"{}", webhook_id="d-1")).status == 200
    await sender.aclose()
    await runner.cleanup()
    assert len(receiver.requests) == 1
    assert listeners.connections == dict.fromkeys(LOOPBACK, 0)
