"""`satchel ls`: the attachments of a message."""

import asyncio
from typing import Annotated

import typer
from rich.filesize import decimal

from satchel.cli.api_access import AllowHttp, ApiKey, MessageId, ServerUrl, connected
from satchel.cli.output import print_json, print_table
from satchel.contract.attachments import Attachment, AttachmentList, AttachmentType

# Keyed by plain text, because a newer server may know more kinds.
_KINDS: dict[str, str] = {
    AttachmentType.FILE: "file",
    AttachmentType.ITEM: "item",
    AttachmentType.REFERENCE: "reference",
}


def ls(
    message_id: MessageId,
    url: ServerUrl,
    api_key: ApiKey,
    allow_http: AllowHttp = False,
    json: Annotated[bool, typer.Option("--json", help="The list as the API gives it.")] = False,
) -> None:
    """List the attachments of a message."""
    attachments = asyncio.run(_list(message_id, url, api_key, allow_http))
    if json:
        print_json(AttachmentList(attachments))
    else:
        print_table(
            ("NAME", "TYPE", "SIZE", "KIND", "INLINE"),
            [row(attachment) for attachment in attachments],
            empty="The message has no attachments.",
        )


async def _list(message_id: str, url: str, api_key: str, allow_http: bool) -> list[Attachment]:
    async with connected(url, api_key, allow_http=allow_http) as client:
        return await client.list_attachments(message_id)


def row(attachment: Attachment) -> tuple[str, ...]:
    """Name, type, size, kind and whether inline, for people."""
    inline = {True: "yes", False: "no", None: ""}[attachment.is_inline]
    kind = _KINDS.get(attachment.attachment_type, attachment.attachment_type)
    return attachment.name, attachment.content_type, decimal(attachment.size), kind, inline
