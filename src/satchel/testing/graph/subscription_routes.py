"""Subscriptions over the wire: made after a handshake, read, renewed, reauthorised, removed."""

from aiohttp import web

from satchel.testing.graph.exchange import Exchange
from satchel.testing.graph.routing import Route
from satchel.testing.graph.subscriptions import Subscription, subscription_json


async def create(exchange: Exchange) -> web.StreamResponse:
    """Graph: create subscription. Both endpoints must answer the handshake first."""
    world = exchange.world
    subscriptions = world.notifier.subscriptions
    asked = subscriptions.read(await exchange.body(), immutable=exchange.immutable)
    for url in dict.fromkeys((asked.notification_url, asked.lifecycle_url)):
        if url is not None:
            await world.notifier.handshake(url)
    return _shown(exchange, subscriptions.add(asked), 201, with_state=True)


async def list_all(exchange: Exchange) -> web.StreamResponse:
    """Graph: list subscriptions."""
    app_id = exchange.world.tokens.app.client_id
    found = exchange.world.notifier.subscriptions.all()
    value = [subscription_json(each, app_id, with_state=False) for each in found]
    return exchange.json({"@odata.context": exchange.context("subscriptions"), "value": value})


async def get(exchange: Exchange) -> web.StreamResponse:
    """Graph: get subscription."""
    return _shown(exchange, _found(exchange), 200)


async def renew(exchange: Exchange) -> web.StreamResponse:
    """Graph: update subscription: only its end can change. It also counts as a reauthorisation."""
    found, body = _found(exchange), await exchange.body()
    found.expires = exchange.world.notifier.subscriptions.expiry(body.get("expirationDateTime"))
    found.paused = False
    return _shown(exchange, found, 200)


async def reauthorize(exchange: Exchange) -> web.StreamResponse:
    """Graph: subscription: reauthorize."""
    _found(exchange).paused = False
    return web.Response(status=204)


async def delete(exchange: Exchange) -> web.StreamResponse:
    """Graph: delete subscription."""
    exchange.world.notifier.subscriptions.remove(exchange.params["subscription"])
    return web.Response(status=204)


def _found(exchange: Exchange) -> Subscription:
    return exchange.world.notifier.subscriptions.get(exchange.params["subscription"])


def _shown(exchange: Exchange, found: Subscription, status: int, *, with_state: bool = False) -> web.Response:
    described = subscription_json(found, exchange.world.tokens.app.client_id, with_state=with_state)
    return exchange.json({"@odata.context": exchange.context("subscriptions/$entity")} | described, status)


_ONE = "/subscriptions/{subscription}"
ROUTES = (
    Route("POST", "/subscriptions", "subscribe", create),
    Route("GET", "/subscriptions", "subscriptions", list_all),
    Route("GET", _ONE, "subscription", get),
    Route("PATCH", _ONE, "renew", renew),
    Route("DELETE", _ONE, "unsubscribe", delete),
    Route("POST", f"{_ONE}/reauthorize", "reauthorize", reauthorize),
)
