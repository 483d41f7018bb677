"""Attachments of a message: the list, single ones, and their bytes."""

import hashlib
from typing import Any

import msgspec
from aiohttp import web

from satchel.contract.attachments import AttachmentType
from satchel.mail.mime import Encoding, FoundAttachment, SizeIndex
from satchel.testing.graph import query
from satchel.testing.graph.bodies import send_attachment, send_json
from satchel.testing.graph.described import attachment_json, instant, wants_bytes
from satchel.testing.graph.errors import GraphError, item_not_found
from satchel.testing.graph.exchange import Exchange
from satchel.testing.graph.message_routes import MESSAGES
from satchel.testing.graph.paging import page
from satchel.testing.graph.routing import Route
from satchel.testing.graph.stored import (
    PLACEHOLDER_NAME,
    PLACEHOLDER_PATH,
    StoredAttachment,
    StoredMessage,
    listed_size,
    utc,
)

_PLACEHOLDER_BYTES = 4096


async def list_attachments(exchange: Exchange) -> web.StreamResponse:
    """Graph: list attachments. `$filter` is ignored, as Exchange does."""
    message = await exchange.message()
    world, select = exchange.world, query.read_select(exchange.option("select"))
    if world.dice.falls(world.faults.change_attachment_ids, exchange.call.kind, exchange.call.mailbox):
        exchange.call.fault = "change_attachment_ids"
        world.mailboxes.renew_attachment_ids(message)
    shown, following = page(exchange, _there(exchange, message), query.MAX_TOP, world.faults.attachments_per_page)
    with_bytes = wants_bytes(select)
    context = exchange.context(
        f"users('{exchange.params['mailbox']}')/messages('{exchange.params['message']}')/attachments"
    )
    pieces: list[bytes | StoredAttachment] = [b'{"@odata.context":' + msgspec.json.encode(context) + b',"value":[']
    for number, each in enumerate(shown):
        pieces.append(b"," if number else b"")
        pieces += _pieces(_described(exchange, message, each), each, with_bytes)
    pieces.append(b"]" + (b"," if following else b"") + msgspec.json.encode(following).removeprefix(b"{"))
    return await send_json(exchange, pieces, message)


async def get_attachment(exchange: Exchange) -> web.StreamResponse:
    """Graph: get attachment."""
    message, found = await _attachment(exchange)
    described = _described(exchange, message, found)
    pieces = _pieces(described, found, wants_bytes(query.read_select(exchange.option("select"))))
    return await send_json(exchange, pieces, message)


async def get_content(exchange: Exchange) -> web.StreamResponse:
    """Graph: get the raw contents of a file or an item attachment; a reference has none."""
    message, found = await _attachment(exchange)
    if found.found.kind is AttachmentType.REFERENCE:
        raise GraphError(405, "ErrorInvalidOperation", "The operation is not supported on a reference attachment.")
    if found.found.path == PLACEHOLDER_PATH:
        return web.Response(body=b"", content_type="text/plain")
    return await send_attachment(exchange, message, found)


async def _attachment(exchange: Exchange) -> tuple[StoredMessage, StoredAttachment]:
    message = await exchange.message()
    for each in _there(exchange, message):
        ids = {message.attachment_id(each.found.path, immutable=immutable) for immutable in (True, False)}
        if exchange.params["attachment"] in ids:
            return message, each
    raise item_not_found()


def _there(exchange: Exchange, message: StoredMessage) -> tuple[StoredAttachment, ...]:
    """What the message has now: as long as it is being scanned, one placeholder for all of its files."""
    attachments = message.contents.attachments
    until = message.arrived_at + exchange.world.faults.placeholder_seconds
    if exchange.world.faults.placeholder_seconds and exchange.world.now() < until and message.files:
        exchange.call.fault = "placeholder_seconds"
        return (*(each for each in attachments if each.found.kind is not AttachmentType.FILE), _placeholder())
    if exchange.world.faults.placeholder_seconds and message.files and message.modified < utc(until):
        message.modified = utc(until)
    return attachments


def _placeholder() -> StoredAttachment:
    found = FoundAttachment(
        path=PLACEHOLDER_PATH,
        name=PLACEHOLDER_NAME,
        content_type="message/rfc822",
        kind=AttachmentType.ITEM,
        encoding=Encoding.IDENTITY,
        start=0,
        stop=0,
        content_id=None,
        is_inline=False,
        fingerprint=hashlib.sha256(b"placeholder").digest(),
    )
    return StoredAttachment(found, SizeIndex(_PLACEHOLDER_BYTES, (), 0), is_inline=False)


def _described(exchange: Exchange, message: StoredMessage, attachment: StoredAttachment) -> dict[str, Any]:
    world, call = exchange.world, exchange.call
    wrong = world.dice.falls(world.faults.wrong_inline_flag, call.kind, call.mailbox)
    facts = {
        "id": message.attachment_id(attachment.found.path, immutable=exchange.immutable),
        "lastModifiedDateTime": instant(message.modified),
        "size": listed_size(attachment.size, world.faults.inflated_size_factor),
        "isInline": attachment.is_inline is not wrong,
    }
    return attachment_json(attachment, facts, query.read_select(exchange.option("select")))


def _pieces(
    described: dict[str, Any], attachment: StoredAttachment, with_bytes: bool
) -> list[bytes | StoredAttachment]:
    plain = msgspec.json.encode(described)
    if not with_bytes or attachment.found.kind is not AttachmentType.FILE:
        return [plain]
    return [plain[:-1] + b',"contentBytes":"', attachment, b'"}']


_ONE = f"{MESSAGES}/{{message}}/attachments/{{attachment}}"
ROUTES = (
    Route("GET", f"{MESSAGES}/{{message}}/attachments", "attachments", list_attachments),
    Route("GET", _ONE, "attachment", get_attachment),
    Route("GET", f"{_ONE}/$value", "content", get_content),
)
