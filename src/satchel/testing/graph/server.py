"""Answers the calls below /v1.0: records them, holds them to the announced limits, and lets faults have their way."""

import asyncio
from email.utils import formatdate

import msgspec
from aiohttp import web

from satchel.mail.mime import MessageTooComplex
from satchel.testing.graph import attachment_routes, delta, message_routes, routing, subscription_routes
from satchel.testing.graph.authority_routes import Authority
from satchel.testing.graph.bodies import reset
from satchel.testing.graph.calls import Call
from satchel.testing.graph.errors import GraphError, access_denied, invalid_token, new_request_id
from satchel.testing.graph.exchange import JSON_TYPE, Exchange
from satchel.testing.graph.limits import throttled
from satchel.testing.graph.stored import utc
from satchel.testing.graph.world import World

ROUTES = (*delta.ROUTES, *message_routes.ROUTES, *attachment_routes.ROUTES, *subscription_routes.ROUTES)
_ROOT = "/v1.0"
_MAX_REQUEST_BYTES = 64 * 1024 * 1024
_ABORTED = 499
_GATEWAY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class GraphServer:
    """The web application over one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def application(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_REQUEST_BYTES)
        Authority(self._world).add_to(app)
        app.router.add_route("*", f"{_ROOT}/{{tail:.*}}", self._answer)
        app.on_response_prepare.append(self._stamp)
        return app

    async def _stamp(self, request: web.Request, answer: web.StreamResponse) -> None:
        answer.headers["Date"] = formatdate(self._world.now() + self._world.faults.clock_skew_seconds, usegmt=True)
        answer.headers.setdefault("request-id", new_request_id())
        answer.headers["client-request-id"] = request.headers.get("client-request-id", answer.headers["request-id"])
        answer.headers["x-ms-ags-diagnostic"] = '{"ServerInfo":{"DataCenter":"Simulator","Ring":"0","ScaleUnit":"000"}}'

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path.removeprefix(_ROOT)
        try:
            found = routing.find(ROUTES, request.method, path)
        except GraphError as error:
            return self._refusal(request, error)
        call = self._begin(request, found)
        status = _ABORTED
        try:
            answer = await self._answered(Exchange(self._world, request, call, found.params), found.route)
            status = answer.status
        except GraphError as error:
            status = error.status
            answer = self._refusal(request, error)
        except ConnectionError:
            # The client has gone; nobody reads this.
            answer = web.Response(status=_ABORTED)
        finally:
            self._world.calls.end(call, status)
        return answer

    def _begin(self, request: web.Request, found: routing.Found) -> Call:
        name = found.params.get("mailbox")
        mailbox = self._world.mailboxes.find(name) if name is not None else None
        call = Call(
            method=request.method,
            kind=found.route.kind,
            route=found.route.path,
            path=request.rel_url.raw_path,
            query=request.rel_url.raw_query_string,
            mailbox=mailbox.address if mailbox is not None else name,
            prefer=", ".join(request.headers.getall("Prefer", [])),
            started=self._world.steady(),
        )
        self._world.calls.begin(call)
        return call

    async def _answered(self, exchange: Exchange, route: routing.Route) -> web.StreamResponse:
        world, call = self._world, exchange.call
        if not world.tokens.is_good(exchange.request.headers.get("Authorization")):
            raise invalid_token()
        if call.mailbox is not None:
            world.throttle.admit(call.mailbox)
        await asyncio.sleep(world.faults.latency_seconds)
        planned = self._planned(exchange)
        if planned is not None:
            return planned
        if not _holds(world.tokens.roles + world.tokens.exchange_roles, route.role):
            raise access_denied()
        try:
            return await route.answer(exchange)
        except MessageTooComplex as error:
            raise GraphError(500, "ErrorInternalServerError", str(error)) from None

    def _planned(self, exchange: Exchange) -> web.StreamResponse | None:
        """What a fault answers instead. Raises GraphError."""
        faults, call = self._world.faults, exchange.call
        if self._falls("throttle", call):
            self._world.calls.peaks.throttled += 1
            raise throttled(faults.retry_after_seconds)
        if self._falls("throttle_silently", call):
            self._world.calls.peaks.throttled += 1
            raise throttled(None)
        if self._falls("unavailable", call):
            raise GraphError(503, "ServiceUnavailable", "The service is unavailable.")
        if self._falls("gateway_timeout", call):
            raise GraphError(504, "UnknownError", "")
        if self._falls("refuse_token", call):
            raise invalid_token()
        if self._falls("revoke_tokens", call):
            self._world.tokens.revoke()
            raise invalid_token()
        if self._falls("gateway_page", call):
            return web.Response(status=502, text=_GATEWAY_PAGE, content_type="text/html")
        if self._falls("hang_up", call):
            reset(exchange.request)
            return web.Response(status=_ABORTED)
        return None

    def _falls(self, name: str, call: Call) -> bool:
        falls = self._world.dice.falls(getattr(self._world.faults, name), call.kind, call.mailbox)
        if falls:
            call.fault = name
        return falls

    def _refusal(self, request: web.Request, error: GraphError) -> web.Response:
        request_id = new_request_id()
        at = utc(self._world.now() + self._world.faults.clock_skew_seconds)
        body = error.body(request_id, request.headers.get("client-request-id"), at)
        headers = {"Content-Type": JSON_TYPE.partition(";")[0], "request-id": request_id, **error.headers}
        return web.Response(status=error.status, body=msgspec.json.encode(body), headers=headers)


def _holds(roles: tuple[str, ...], wanted: str) -> bool:
    """Whether the app's permissions cover one; to write includes to read."""
    return wanted in roles or (wanted == "Mail.Read" and "Mail.ReadWrite" in roles)
