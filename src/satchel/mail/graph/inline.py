"""Tells what a message shows within its text from what it carries as a document, without trusting a single flag.

Only pictures are shown within a text. What is no picture is a document, also when it is flagged inline (Apple Mail does
so with PDFs) and also when the text has a link to it. A picture is inline when the HTML body shows it by `cid:`
(RFC 2392), whatever the flag says; one that it does not show is a document.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from satchel.contract.attachments import Attachment
from satchel.mail.mime.classify import content_references

# Pictures that mail programs send without saying so.
_PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".svg", ".webp", ".tif", ".tiff", ".emz", ".wmz")
_UNKNOWN_TYPE = "application/octet-stream"


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    content: Any = None


class WireBody(msgspec.Struct, frozen=True):
    """A message of which only the body was asked for."""

    body: _Body | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """Which of the content ids that were asked about a text shows; None where it could not be looked at."""

    ids: frozenset[str] | None


def in_question(listed: Sequence[Attachment]) -> frozenset[str]:
    """The content ids of the attachments about which the message's text decides."""
    return frozenset(_same(each.content_id or "") for each in listed if _may_be_shown(each))


def shown_by(message: WireBody, asked: frozenset[str]) -> Shown:
    """Which of the ids the body shows: no others are kept, since a sender may write a million into a text. A plain text
    shows nothing, and `cid:` in it does no harm."""
    content = message.body.content if message.body is not None else None
    if not isinstance(content, str):
        return Shown(frozenset())
    return Shown(asked.intersection(_same(each) for each in content_references(content.encode(errors="surrogatepass"))))


def with_inline(listed: Sequence[Attachment], shown: Shown) -> list[Attachment]:
    """The attachments with `is_inline` as it is. Where the text could not be looked at, flags decide for pictures."""
    return [msgspec.structs.replace(each, is_inline=_is_inline(each, shown)) for each in listed]


def _is_inline(each: Attachment, shown: Shown) -> bool:
    if not _may_be_shown(each) or each.content_id is None:
        return False
    return bool(each.is_inline) if shown.ids is None else _same(each.content_id) in shown.ids


def _may_be_shown(each: Attachment) -> bool:
    is_picture = each.content_type.startswith("image/") or (
        each.content_type == _UNKNOWN_TYPE and each.name.lower().endswith(_PICTURE_ENDINGS)
    )
    return each.is_file and is_picture and each.content_id is not None


def _same(content_id: str) -> str:
    # By RFC 2392 they differ by case; no mail program makes two that differ by nothing else, and some change it.
    return content_id.strip().casefold()
