"""Believes trusted proxies, and nobody else, about who the client is and how it came."""

from starlette.types import ASGIApp, Receive, Scope, Send

from satchel.gateway.addresses import Network, client_address, is_trusted, parse_address

_SCHEMES = {b"http": "http", b"https": "https"}


class TrustedProxies:
    """ASGI layer around the whole API: `client` and `scheme` become what `X-Forwarded-For` and `X-Forwarded-Proto`
    say, where the peer is a trusted proxy. The port of such a client is unknown and 0."""

    def __init__(self, app: ASGIApp, trusted: tuple[Network, ...]) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        peer = parse_address(client[0]) if client else None
        if peer is not None and is_trusted(peer, self._trusted):
            scope = dict(scope)
            forwarded_for = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
            protocols = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
            if forwarded_for:
                scope["client"] = (client_address(str(peer), forwarded_for, self._trusted), 0)
            # A proxy that adds to what came in writes last.
            if protocols:
                asked = protocols[-1].rpartition(b",")[2].strip().lower()
                scope["scheme"] = _SCHEMES.get(asked, scope["scheme"])
        await self._app(scope, receive, send)
