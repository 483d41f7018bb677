"""Asks Graph for what a message says as its body."""

import asyncio
from typing import Any

import msgspec

from satchel.mail.body_text import html_text, tidied
from satchel.mail.graph.errors import TooLarge
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.ids import message_path
from satchel.mail.source import BrokenMessage

# Graph: message resource type, property body; get message, request header Prefer.
_AS_TEXT = 'outlook.body-content-type="text"'
_MOST_BODY_BYTES = 16 * 1024 * 1024
# Of plain text: tidying it takes away line ends and blanks, or it is hardly text.
_CHARACTERS_FOR_ONE = 4


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    content_type: Any = None
    content: Any = None


class _WireText(msgspec.Struct, frozen=True):
    body: _Body | None = None


async def read_text(http: GraphHttp, mailbox: str, message: str, max_characters: int) -> str | None:
    """The text of the message with this id in Graph, of a long one the beginning; None without any.

    Raises `GraphRefusal`, `SourceUnavailable`; `BrokenMessage` where the mail server sends more than 16 MiB of it.
    """
    try:
        found = await http.get(
            message_path(mailbox, message),
            mailbox=mailbox,
            as_=_WireText,
            params={"$select": "body"},
            prefer=[_AS_TEXT],
            max_bytes=_MOST_BODY_BYTES,
        )
    except TooLarge as error:
        raise BrokenMessage("The message's text is larger than 16 MiB.") from error
    if found.body is None or not isinstance(found.body.content, str):
        return None
    return await asyncio.to_thread(_beginning, found.body.content_type, found.body.content, max_characters) or None


def _beginning(content_type: object, content: str, max_characters: int) -> str:
    # A preference is a wish.
    is_html = content_type == "html"
    return (html_text(content) if is_html else tidied(content[: max_characters * _CHARACTERS_FOR_ONE]))[:max_characters]
