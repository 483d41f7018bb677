"""The simulator's own calls, below /simulator: what a test or a person tells it while it runs. They need no token."""

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from satchel.testing.graph.errors import GraphError
from satchel.testing.graph.faults import Faults
from satchel.testing.graph.limits import Limits
from satchel.testing.graph.query import read_instant
from satchel.testing.graph.subscriptions import subscription_json
from satchel.testing.graph.tenant import Tenant

ROOT = "/simulator"
_PIECE_BYTES = 512 * 1024
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Control:
    """The routes, over one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def add_to(self, app: web.Application) -> None:
        routes = (
            ("GET", "", self.state),
            ("GET", "/faults", self.faults),
            ("PATCH", "/faults", self.set_faults),
            ("DELETE", "/faults", self.clear_faults),
            ("PATCH", "/limits", self.set_limits),
            ("PATCH", "/app", self.set_app),
            ("GET", "/calls", self.calls),
            ("DELETE", "/calls", self.clear_calls),
            ("POST", "/mailboxes", self.add_mailbox),
            ("POST", "/mailboxes/burn", self.burn),
            ("GET", "/messages", self.messages),
            ("POST", "/messages", self.deliver),
            ("POST", "/messages/{message}/move", self.move),
            ("DELETE", "/messages/{message}", self.delete),
            ("POST", "/tokens/revoke", self.revoke),
            ("GET", "/subscriptions", self.subscriptions),
            ("POST", "/subscriptions/{event:missed|remove|reauthorize}", self.lifecycle),
        )
        for method, path, answer in routes:
            app.router.add_route(method, ROOT + path, _told(answer))

    async def state(self, _: web.Request) -> web.Response:
        """Where it is, whom it knows, and how much it has done."""
        tenant, notifier = self._tenant, self._tenant.world.notifier
        return web.json_response(
            {
                "baseUrl": tenant.base_url,
                "tenantId": tenant.tenant_id,
                "clientId": tenant.client_id,
                "mailboxes": {each.address: len(each.messages) for each in tenant.world.mailboxes.all()},
                "tokensGiven": tenant.world.tokens.given,
                "notifications": {
                    "sent": notifier.sent,
                    "lost": notifier.lost,
                    "givenUp": notifier.given_up,
                    "waiting": notifier.waiting,
                },
                "peaks": asdict(tenant.peaks),
            }
        )

    async def faults(self, _: web.Request) -> web.Response:
        return web.json_response(self._tenant.faults.as_json())

    async def set_faults(self, request: web.Request) -> web.Response:
        """An object of names and values; all of them or, where one is not right, none."""
        wanted = replace(self._tenant.faults)
        try:
            for name, value in (await _object(request)).items():
                wanted.set(name, value)
        except ValueError as error:
            return _refused(str(error))
        self._tenant.faults = wanted
        return await self.faults(request)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._tenant.faults = Faults()
        return await self.faults(request)

    async def set_limits(self, request: web.Request) -> web.Response:
        """An object of names and values of `Limits`."""
        limits, asked = asdict(self._tenant.limits), await _object(request)
        if asked.keys() - limits.keys():
            return _refused(f"the limits are {', '.join(limits)}")
        try:
            self._tenant.limits = msgspec.convert(limits | asked, Limits)
        except msgspec.ValidationError as error:
            return _refused(str(error))
        return web.json_response(asdict(self._tenant.limits))

    async def set_app(self, request: web.Request) -> web.Response:
        """`{"roles", "exchangeRoles"}`: its permissions by consent, and those that RBAC for Applications gives."""
        try:
            asked = msgspec.convert(await _object(request), _App)
        except msgspec.ValidationError as error:
            return _refused(str(error))
        if asked.roles is not None:
            self._tenant.roles = asked.roles
        if asked.exchange_roles is not None:
            self._tenant.exchange_roles = asked.exchange_roles
        return web.json_response({"roles": self._tenant.roles, "exchangeRoles": self._tenant.exchange_roles})

    async def calls(self, request: web.Request) -> web.Response:
        """Every call, or those of a `kind` or a `status`."""
        wanted = request.query
        shown = [
            asdict(each)
            for each in self._tenant.calls
            if wanted.get("kind", each.kind) == each.kind and wanted.get("status", str(each.status)) == str(each.status)
        ]
        return web.json_response({"calls": shown, "peaks": asdict(self._tenant.peaks)})

    async def clear_calls(self, _: web.Request) -> web.Response:
        self._tenant.world.calls.clear()
        return web.Response(status=204)

    async def add_mailbox(self, request: web.Request) -> web.Response:
        """`{"address", "refused"}`."""
        asked = await _object(request)
        if not isinstance(asked.get("address"), str):
            return _refused("address is missing")
        self._tenant.add_mailbox(asked["address"], refused=asked.get("refused") is True)
        return web.Response(status=204)

    async def burn(self, request: web.Request) -> web.Response:
        """All ids of `?mailbox=` change."""
        self._tenant.burn(_mailbox(request))
        return web.Response(status=204)

    async def messages(self, request: web.Request) -> web.Response:
        """Both ids of every message in `?mailbox=`, and the folder that it is in."""
        found = self._tenant.world.mailboxes.find(_mailbox(request))
        shown = [
            {"id": each.immutable_id, "mutableId": each.mutable_id, "folder": each.folder}
            for each in (found.in_folder(None) if found is not None else ())
        ]
        return web.json_response(shown)

    async def deliver(self, request: web.Request) -> web.Response:
        """A message as it travels (MIME) for `?mailbox=`, into `?folder=` (inbox), with `?received=` (now)."""
        mailbox, folder = _mailbox(request), request.query.get("folder", "inbox")
        received = read_instant(request.query["received"]) if "received" in request.query else None
        if received is None and "received" in request.query:
            return _refused("received is no instant, such as 2026-01-31T12:00:00Z")
        with tempfile.NamedTemporaryFile(prefix="satchel-graph-", suffix=".eml") as target:
            async for piece in request.content.iter_chunked(_PIECE_BYTES):
                target.write(piece)
            target.flush()
            path = Path(target.name)
            message_id = await self._tenant.world.in_thread(
                lambda: self._tenant.deliver(mailbox, path, received=received, folder=folder)
            )
        mutable_id = self._tenant.mutable_id(mailbox, message_id)
        return web.json_response({"id": message_id, "mutableId": mutable_id}, status=201)

    async def move(self, request: web.Request) -> web.Response:
        """`{"folder"}`, for a message of `?mailbox=`."""
        folder = (await _object(request)).get("folder")
        if not isinstance(folder, str):
            return _refused("folder is missing")
        mailbox = _mailbox(request)
        message_id = self._tenant.move(mailbox, request.match_info["message"], folder)
        mutable_id = self._tenant.mutable_id(mailbox, message_id)
        return web.json_response({"id": message_id, "mutableId": mutable_id})

    async def delete(self, request: web.Request) -> web.Response:
        """A message of `?mailbox=`, for good."""
        self._tenant.delete(_mailbox(request), request.match_info["message"])
        return web.Response(status=204)

    async def revoke(self, _: web.Request) -> web.Response:
        self._tenant.revoke_tokens()
        return web.Response(status=204)

    async def subscriptions(self, _: web.Request) -> web.Response:
        found = self._tenant.subscriptions
        return web.json_response([subscription_json(each, self._tenant.client_id, with_state=True) for each in found])

    async def lifecycle(self, request: web.Request) -> web.Response:
        """`missed`, `remove` (`?tell=false`: without a word) or `reauthorize`, for `?mailbox=` or for all."""
        mailbox, event = request.query.get("mailbox"), request.match_info["event"]
        if event == "missed":
            self._tenant.send_missed(mailbox)
        elif event == "reauthorize":
            self._tenant.demand_reauthorization(mailbox)
        else:
            self._tenant.remove_subscriptions(mailbox, tell=request.query.get("tell") != "false")
        return web.Response(status=204)


class _App(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    roles: tuple[str, ...] | None = None
    exchange_roles: tuple[str, ...] | None = None


def _told(answer: Answer) -> Answer:
    """What cannot be done is said in a sentence."""

    async def told(request: web.Request) -> web.StreamResponse:
        try:
            return await answer(request)
        except GraphError as error:
            return _refused(error.message or error.code, error.status)

    return told


def _mailbox(request: web.Request) -> str:
    mailbox = request.query.get("mailbox")
    if not mailbox:
        raise GraphError(400, "BadRequest", "?mailbox= is missing")
    return mailbox


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(await request.read(), type=dict[str, Any])
    except msgspec.DecodeError:
        raise GraphError(400, "BadRequest", "a JSON object was expected") from None


def _refused(message: str, status: int = 400) -> web.Response:
    return web.json_response({"error": message}, status=status)
