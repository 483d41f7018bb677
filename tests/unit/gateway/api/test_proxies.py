"""Who the API takes a client for, behind proxies and without."""

import pytest
from starlette.types import Receive, Scope, Send

from satchel.gateway.addresses import parse_networks
from satchel.gateway.api.proxies import TrustedProxies
from tests.unit.gateway.fakes import call


async def seen(trusted: str, *headers: tuple[str, str]) -> tuple[str, str]:
    """Client and scheme that the application behind the layer sees; the peer is 127.0.0.1 over http."""
    found: list[tuple[str, str]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        found.append((scope["client"][0], scope["scheme"]))

    await call(TrustedProxies(application, parse_networks([trusted])), "/", headers=dict(headers))
    return found[0]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), ("127.0.0.1", "http")),
        ((("x-forwarded-for", "198.51.100.1"),), ("198.51.100.1", "http")),
        ((("x-forwarded-proto", "https"),), ("127.0.0.1", "https")),
        ((("x-forwarded-proto", "http, HTTPS "),), ("127.0.0.1", "https")),
        ((("x-forwarded-proto", "javascript"),), ("127.0.0.1", "http")),
        ((("x-forwarded-proto", ""),), ("127.0.0.1", "http")),
        ((("x-forwarded-for", "\xff\xfe"),), ("127.0.0.1", "http")),
        ((("x-forwarded-host", "evil.example"), ("forwarded", "for=1.1.1.1")), ("127.0.0.1", "http")),
    ],
)
async def test_a_trusted_proxy_is_believed(headers: tuple[tuple[str, str], ...], expected: tuple[str, str]) -> None:
    assert await seen("127.0.0.0/8", *headers) == expected


async def test_others_are_not() -> None:
    headers = (("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https"))
    assert await seen("10.0.0.0/8", *headers) == ("127.0.0.1", "http")


async def test_a_peer_without_an_address_is_not() -> None:
    found: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope)

    layer = TrustedProxies(application, parse_networks(["127.0.0.1"]))
    scope: Scope = {"type": "http", "client": None, "headers": [(b"x-forwarded-for", b"1.1.1.1")]}

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None: ...

    await layer(scope, receive, send)
    assert found[0]["client"] is None
