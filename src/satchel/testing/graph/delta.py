"""The delta query over one folder: what there is, then what has changed, by tokens that carry where one stands."""

import base64
from typing import Any

import msgspec
from aiohttp import web

from satchel.testing.graph.errors import GraphError, bad_query
from satchel.testing.graph.exchange import Exchange
from satchel.testing.graph.mailboxes import Change, ChangeType, Folder, Mailbox
from satchel.testing.graph.message_routes import DEFAULT_PAGE, choose, describe
from satchel.testing.graph.routing import Route


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where a walk stands, with the options that it began with.

    The first pass shows messages from the latest arrival down: `at` is the sequence of the last that was shown, and
    `until` that of the last change when it began. Afterwards it shows changes that come after `at`.
    """

    epoch: int
    folder: str
    first: bool
    at: int
    until: int
    change_type: str | None = None
    select: str | None = None
    filter: str | None = None

    def token(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).rstrip(b"=").decode("ascii")


async def walk(exchange: Exchange) -> web.StreamResponse:
    """Graph: message: delta."""
    mailbox = exchange.mailbox
    folder = mailbox.folder(exchange.params["folder"])
    position = _position(exchange, mailbox, folder)
    size = exchange.page_size(DEFAULT_PAGE)
    turn = _first_pass if position.first else _changes
    value, following, more = await turn(exchange, mailbox, position, size)
    body: dict[str, Any] = {"@odata.context": exchange.context("Collection(message)"), "value": value}
    body["@odata.nextLink" if more else "@odata.deltaLink"] = _link(exchange, following, more)
    asked = "odata.maxpagesize" in exchange.prefer
    return exchange.json(body, headers={"Preference-Applied": f"odata.maxpagesize={size}"} if asked else None)


def _position(exchange: Exchange, mailbox: Mailbox, folder: Folder) -> Position:
    token = exchange.option("deltatoken") or exchange.option("skiptoken")
    if token is None:
        latest = _latest(mailbox)
        change_type = exchange.request.query.get("changeType")
        if change_type is not None and change_type not in list(ChangeType):
            raise bad_query("changeType is one of created, updated and deleted.")
        return Position(
            epoch=mailbox.epoch,
            folder=folder.id,
            first=True,
            at=latest + 1,
            until=latest,
            change_type=change_type,
            select=exchange.option("select"),
            filter=exchange.option("filter"),
        )
    world, call = exchange.world, exchange.call
    try:
        position = msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)), type=Position)
    except (ValueError, msgspec.DecodeError):
        raise bad_query("Badly formed token.") from None
    forgotten = world.dice.falls(world.faults.forget_delta, call.kind, call.mailbox)
    if forgotten or position.epoch != mailbox.epoch or position.folder != folder.id:
        call.fault = "forget_delta" if forgotten else None
        raise GraphError(410, "SyncStateNotFound", "The sync state generation is not found; start again.")
    return position


async def _first_pass(
    exchange: Exchange, mailbox: Mailbox, position: Position, size: int
) -> tuple[list[dict[str, Any]], Position, bool]:
    name = mailbox.folder(position.folder).name
    left = [each for each in mailbox.in_folder(name) if each.sequence < position.at]
    passing = {each.immutable_id for each in await choose(exchange, left, position.filter, None)}
    left = [each for each in left if each.immutable_id in passing]
    shown = left[:size]
    await exchange.read_in(*shown)
    value = [describe(exchange, each, mailbox, position.select) for each in shown]
    if len(left) > size:
        return value, msgspec.structs.replace(position, at=shown[-1].sequence), True
    return value, msgspec.structs.replace(position, first=False, at=position.until), False


async def _changes(
    exchange: Exchange, mailbox: Mailbox, position: Position, size: int
) -> tuple[list[dict[str, Any]], Position, bool]:
    name, latest = mailbox.folder(position.folder).name, _latest(mailbox)
    left = [
        each
        for each in mailbox.changes
        if each.sequence > position.at
        and each.folder == name
        and position.change_type in {None, each.type.value}
        and (each.type is ChangeType.DELETED or _is_there(mailbox, each))
    ]
    shown = left[:size]
    value = []
    for each in shown:
        if each.type is ChangeType.DELETED:
            gone = each.immutable_id if exchange.immutable else each.mutable_id
            value.append({"@removed": {"reason": "deleted"}, "id": gone})
            continue
        await exchange.read_in(each.message)
        value.append(describe(exchange, each.message, mailbox, position.select))
    more = len(left) > size
    return value, msgspec.structs.replace(position, at=shown[-1].sequence if more else latest), more


def _is_there(mailbox: Mailbox, change: Change) -> bool:
    return change.message.folder == change.folder and change.message.immutable_id in mailbox.messages


def _latest(mailbox: Mailbox) -> int:
    return mailbox.changes[-1].sequence if mailbox.changes else 0


def _link(exchange: Exchange, position: Position, more: bool) -> str:
    name = "skiptoken" if more else "deltatoken"
    return f"{exchange.world.base_url}{exchange.request.rel_url.raw_path}?%24{name}={position.token()}"


ROUTES = (Route("GET", "/users/{mailbox}/mailFolders/{folder}/messages/delta", "delta", walk),)
