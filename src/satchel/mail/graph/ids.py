"""Ids of Graph as clients see them, the locators in which they are kept, and the paths that they are asked for at."""

import base64
import re
from dataclasses import dataclass
from urllib.parse import quote

from satchel.mail.source import AttachmentNotFound, MessageNotFound, MessageRef

# Contract section 1: what is safe in a URL path as it is. Dots are left out: none of Graph's ids has one, and "..", as
# part of a path, would lead elsewhere.
_SAFE = re.compile(r"[A-Za-z0-9_=-]{1,1024}")
_ENCODED = re.compile(r"~([A-Za-z0-9_-]{2,2048})")
# Graph's ids are base64, and some servers use the alphabet that is not for URLs.
_GRAPH_ID = re.compile(r"[A-Za-z0-9_=+/-]{1,1024}")
_PATH_SAFE = "@="
# The bound that RFC 5322 section 2.1.1 sets for a line.
_LONGEST_MESSAGE_ID = 998


def public_id(graph_id: str) -> str:
    """An id of Graph's as it goes into our URLs: as it is where that is safe, else behind a tilde in base64."""
    if _SAFE.fullmatch(graph_id):
        return graph_id
    return "~" + base64.urlsafe_b64encode(graph_id.encode(errors="surrogatepass")).rstrip(b"=").decode("ascii")


def graph_id(public: str) -> str | None:
    """The id of Graph's behind one of ours; None for text that is none."""
    if _SAFE.fullmatch(public):
        return public
    encoded = _ENCODED.fullmatch(public)
    if encoded is None:
        return None
    try:
        found = base64.urlsafe_b64decode(encoded[1] + "=" * (-len(encoded[1]) % 4)).decode("ascii")
    except ValueError:
        return None
    return found if _GRAPH_ID.fullmatch(found) and public_id(found) == public else None


def is_graph_id(text: str) -> bool:
    """Whether an id that Graph gave is one that can be given out and asked for again."""
    return _GRAPH_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message is: its id in Graph; the Message-ID by which it is found after it has lost that; and when it was
    received (Unix seconds), because anybody can send another under the same Message-ID."""

    graph_id: str
    internet_message_id: str = ""
    received_at: int | None = None

    def ref(self, mailbox: str) -> MessageRef:
        known = self.internet_message_id
        keeps = 0 < len(known) <= _LONGEST_MESSAGE_ID and known.isprintable()
        parts = [self.graph_id, known if keeps else ""]
        if keeps and self.received_at is not None and self.received_at >= 0:
            parts.append(str(self.received_at))
        return MessageRef(mailbox, public_id(self.graph_id), "\n".join(parts).rstrip("\n"))


def read_locator(ref: MessageRef) -> Place:
    """The place that a reference holds. Raises `MessageNotFound` for one that this source never wrote."""
    found, _, rest = ref.locator.partition("\n")
    internet_message_id, _, received_at = rest.partition("\n")
    if not is_graph_id(found) or public_id(found) != ref.message_id:
        raise MessageNotFound("The message's locator is not one of Graph, or belongs to another message.")
    is_moment = received_at.isascii() and received_at.isdigit()
    return Place(found, internet_message_id, int(received_at) if is_moment else None)


def attachment_graph_id(public: str) -> str:
    """Graph's id of an attachment. Raises `AttachmentNotFound` for text that is none of our ids."""
    found = graph_id(public)
    if found is None:
        raise AttachmentNotFound("The message has no such attachment.")
    return found


def user_path(mailbox: str) -> str:
    return f"users/{quote(mailbox, safe=_PATH_SAFE)}"


def message_path(mailbox: str, message: str) -> str:
    return f"{user_path(mailbox)}/messages/{quote(message, safe=_PATH_SAFE)}"


def attachments_path(mailbox: str, message: str) -> str:
    return f"{message_path(mailbox, message)}/attachments"


def attachment_path(mailbox: str, message: str, attachment: str) -> str:
    return f"{attachments_path(mailbox, message)}/{quote(attachment, safe=_PATH_SAFE)}"
