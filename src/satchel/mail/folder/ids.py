"""Ids and locators of the folder source: ids reveal nothing, and locators never become paths unchecked."""

import base64
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote_from_bytes, unquote_to_bytes

from satchel.mail.source import MessageNotFound

_LOCATOR_SAFE = "@:,=+!~"
_ID_BYTES = 24


class Layout(StrEnum):
    """How a mailbox keeps its messages on disk."""

    MAILDIR = "maildir"
    EML = "eml"
    MBOX = "mbox"


@dataclass(frozen=True, slots=True)
class Place:
    """A message's place: the mailbox's entry under the root, and the message's own name inside of it.

    `key` names the message for good and goes into its id. `hint` may go stale (an mbox offset) and does not.
    """

    layout: Layout
    entry: bytes
    key: bytes
    hint: int = 0

    def locator(self) -> str:
        """Text that holds the place, whatever bytes the file names have."""
        parts = [self.layout.value, _quote(self.entry), _quote(self.key)]
        if self.layout is Layout.MBOX:
            parts.append(str(self.hint))
        return "/".join(parts)


def read_locator(locator: str) -> Place:
    """The place that a locator holds. Raises `MessageNotFound` for one that this source never wrote.

    The names in it are single path components, so that a forged locator leads nowhere outside of its mailbox.
    """
    parts = locator.split("/")
    try:
        layout = Layout(parts[0])
        hint = int(parts.pop(3)) if layout is Layout.MBOX else 0
        _, entry, key = parts
    except (ValueError, IndexError):
        raise MessageNotFound("The message's locator is not one of a mail folder.") from None
    place = Place(layout, unquote_to_bytes(entry), unquote_to_bytes(key), hint)
    if not (is_plain_name(place.entry) and is_plain_name(place.key)) or not 0 <= hint < 1 << 63:
        raise MessageNotFound("The message's locator is not one of a mail folder.")
    return place


def is_plain_name(name: bytes) -> bool:
    """Whether a name is one visible path component: never a way up, across or into another folder."""
    return bool(name) and not name.startswith(b".") and b"/" not in name and b"\0" not in name


def message_id(mailbox: str, place: Place) -> str:
    """The id that clients see: the same for a place for ever, over restarts, flag changes and moves new/ to cur/."""
    return "M" + _digest(b"message", mailbox.encode(), place.layout.encode(), place.entry, place.key)


def attachment_id(of_message: str, fingerprint: bytes) -> str:
    """An attachment's id: another one as soon as the part's header, place or length is another."""
    return "A" + _digest(b"attachment", of_message.encode(), fingerprint)


def conversation_id(mailbox: str, root: str) -> str:
    """The id of the conversation that begins with the message `root` (a Message-ID, or a message's own id)."""
    return "C" + _digest(b"conversation", mailbox.encode(), root.encode(errors="surrogatepass"))


def entity_tag(*witnesses: bytes) -> str:
    """A strong validator without quotes (RFC 9110 section 8.8.3) out of everything that tells two contents apart."""
    return _digest(b"entity", *witnesses)


def _quote(name: bytes) -> str:
    return quote_from_bytes(name, safe=_LOCATOR_SAFE)


def _digest(purpose: bytes, *parts: bytes) -> str:
    digest = hashlib.sha256(b"satchel folder " + purpose)
    for part in parts:
        # Lengths keep ("ab", "c") and ("a", "bc") apart.
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return base64.urlsafe_b64encode(digest.digest()[:_ID_BYTES]).decode("ascii")
