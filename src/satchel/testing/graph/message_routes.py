"""Messages and folders: lists with their options, single ones, MIME, moves."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from satchel.testing.graph import query
from satchel.testing.graph.bodies import send_message
from satchel.testing.graph.described import folder_json, message_json, message_value, user_json
from satchel.testing.graph.errors import GraphError, bad_query
from satchel.testing.graph.exchange import Exchange
from satchel.testing.graph.mailboxes import Mailbox
from satchel.testing.graph.paging import page
from satchel.testing.graph.routing import Route
from satchel.testing.graph.stored import StoredMessage

DEFAULT_PAGE = 10
_MAX_TRANSLATED = 1000


async def list_messages(exchange: Exchange) -> web.StreamResponse:
    """Graph: list messages."""
    mailbox = exchange.mailbox
    folder = exchange.params.get("folder")
    found = list(mailbox.in_folder(mailbox.folder(folder).name if folder else None))
    chosen = await choose(exchange, found, exchange.option("filter"), exchange.option("orderby"))
    shown, following = page(exchange, chosen, exchange.page_size(DEFAULT_PAGE))
    await exchange.read_in(*shown)
    body: dict[str, Any] = {"@odata.context": exchange.context(f"users('{exchange.params['mailbox']}')/messages")}
    if exchange.option("count") == "true":
        body["@odata.count"] = len(chosen)
    body["value"] = [describe(exchange, each, mailbox) for each in shown]
    return exchange.json(body | following)


async def choose(
    exchange: Exchange, found: Sequence[StoredMessage], filter_text: str | None, order_text: str | None
) -> list[StoredMessage]:
    """Those that pass the filter, in the order that is asked for, else the latest first. Raises GraphError."""
    filters, order = query.read_filter(filter_text), query.read_order(order_text)
    query.check_order(filters, order)
    if ({each.name for each in filters} | {name for name, _ in order}) - {"receivedDateTime"}:
        await exchange.read_in(*found)
    mailbox = exchange.mailbox
    passing = [each for each in found if all(one.holds(message_value(each, mailbox, one.name)) for one in filters)]
    for name, falls in reversed(order or (("receivedDateTime", True),)):
        passing.sort(key=lambda each: _sortable(message_value(each, mailbox, name)), reverse=falls)
    return passing


def describe(exchange: Exchange, message: StoredMessage, mailbox: Mailbox, select: str | None = None) -> dict[str, Any]:
    """A message as this call wants it, or as `select` says. Raises GraphError."""
    return message_json(
        message,
        mailbox,
        immutable=exchange.immutable,
        as_text=exchange.as_text,
        select=query.read_select(select or exchange.option("select")),
    )


async def get_message(exchange: Exchange) -> web.StreamResponse:
    """Graph: get message."""
    message = await exchange.message()
    context = exchange.context(f"users('{exchange.params['mailbox']}')/messages/$entity")
    return exchange.json({"@odata.context": context} | describe(exchange, message, exchange.mailbox))


async def get_mime(exchange: Exchange) -> web.StreamResponse:
    """Graph: get MIME content of a message."""
    return await send_message(exchange, await exchange.message())


async def move_message(exchange: Exchange) -> web.StreamResponse:
    """Graph: message: move."""
    message = await exchange.message()
    mailbox, world = exchange.mailbox, exchange.world
    destination = (await exchange.parameters()).get("destinationid")
    if not isinstance(destination, str):
        raise bad_query("The required parameter 'DestinationId' is missing.")
    for change in world.mailboxes.move(mailbox, message, destination):
        world.notifier.announce(mailbox, change)
    return exchange.json(describe(exchange, message, mailbox), 201)


async def delete_message(exchange: Exchange) -> web.StreamResponse:
    """Graph: delete message."""
    message = await exchange.message()
    exchange.world.notifier.announce(exchange.mailbox, exchange.world.mailboxes.delete(exchange.mailbox, message))
    return web.Response(status=204)


async def list_folders(exchange: Exchange) -> web.StreamResponse:
    """Graph: list mailFolders."""
    mailbox = exchange.mailbox
    folders = [each for name, each in mailbox.folders.items() if name != "msgfolderroot"]
    shown, following = page(exchange, folders, exchange.page_size(DEFAULT_PAGE))
    return exchange.json({"value": [folder_json(each, mailbox) for each in shown]} | following)


async def get_folder(exchange: Exchange) -> web.StreamResponse:
    """Graph: get mailFolder."""
    mailbox = exchange.mailbox
    return exchange.json(folder_json(mailbox.folder(exchange.params["folder"]), mailbox))


async def get_user(exchange: Exchange) -> web.StreamResponse:
    """Graph: get user; it needs more than the right to read mail."""
    found = exchange.world.mailboxes.find(exchange.params["mailbox"])
    if found is None:
        message = (
            f"Resource '{exchange.params['mailbox']}' does not exist or one of its queried objects are not present."
        )
        raise GraphError(404, "Request_ResourceNotFound", message)
    return exchange.json(user_json(found))


async def translate_ids(exchange: Exchange) -> web.StreamResponse:
    """Graph: user: translateExchangeIds."""
    mailbox, asked = exchange.mailbox, await exchange.parameters()
    given, target = asked.get("inputids"), asked.get("targetidtype")
    kinds = {"entryid", "ewsid", "immutableentryid", "restid", "restimmutableentryid"}
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given) or not given:
        raise bad_query("The required parameter 'InputIds' is missing.")
    if len(given) > _MAX_TRANSLATED:
        raise bad_query(f"The maximum number of ids is {_MAX_TRANSLATED}.")
    if str(target).lower() not in kinds or str(asked.get("sourceidtype")).lower() not in kinds:
        raise bad_query("The id types are not right.")
    answers = []
    for each in given:
        found = mailbox.messages.get(each) or mailbox.by_mutable_id.get(each)
        if found is None:
            details = {"code": "ErrorInvalidIdMalformed", "message": "Id is malformed."}
            answers.append({"sourceId": each, "errorDetails": details})
        else:
            immutable = str(target).lower() in {"restimmutableentryid", "immutableentryid"}
            answers.append({"sourceId": each, "targetId": found.id_for(immutable=immutable)})
    return exchange.json({"value": answers})


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value)


_READ_USERS = "User.Read.All"
_WRITE = "Mail.ReadWrite"
MESSAGES = "/users/{mailbox}/messages"
ROUTES = (
    Route("GET", MESSAGES, "messages", list_messages),
    Route("GET", "/users/{mailbox}/mailFolders/{folder}/messages", "messages", list_messages),
    Route("GET", f"{MESSAGES}/{{message}}", "message", get_message),
    Route("DELETE", f"{MESSAGES}/{{message}}", "delete", delete_message, _WRITE),
    Route("GET", f"{MESSAGES}/{{message}}/$value", "mime", get_mime),
    Route("POST", f"{MESSAGES}/{{message}}/move", "move", move_message, _WRITE),
    Route("GET", "/users/{mailbox}/mailFolders", "folders", list_folders),
    Route("GET", "/users/{mailbox}/mailFolders/{folder}", "folder", get_folder),
    Route("POST", "/users/{mailbox}/translateExchangeIds", "translate", translate_ids),
    Route("GET", "/users/{mailbox}", "user", get_user, _READ_USERS),
)
