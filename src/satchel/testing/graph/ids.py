"""Ids that look and behave as Graph's: long, case-sensitive, url-safe base64 that says nothing of what it names."""

import base64
import hashlib
import uuid

_MUTABLE = b"\x00\x03\x24\x00"
_IMMUTABLE = b"\x00\x09\x00\x2e\x00\x00"
_ATTACHMENT = b"\x01\x12\x00\x10"


class Ids:
    """Ids drawn from a seed: the same deliveries in the same order have the same ids."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn = 0

    def guid(self, *words: object) -> str:
        """The guid that belongs to these words."""
        return str(uuid.UUID(bytes=self._bytes(16, *words)))

    def folder(self, mailbox_id: str, name: str) -> str:
        """`AAMk…`: folders have no immutable ids, these stay as they are."""
        return _text(_MUTABLE + self._bytes(48, mailbox_id) + self._bytes(32, mailbox_id, name) + b"\0\0")

    def mutable(self, mailbox_id: str) -> str:
        """`AAMk…`, a new one at each call."""
        return _text(_MUTABLE + self._bytes(48, mailbox_id) + self._drawn_bytes(58) + b"\0\0\0")

    def immutable(self, mailbox_id: str) -> str:
        """`AAkALgAA…`, a new one at each call."""
        return _text(_IMMUTABLE + self._bytes(26, mailbox_id) + self._drawn_bytes(34))

    def salt(self) -> bytes:
        """Something new to tell one generation of attachment ids from the next."""
        return self._drawn_bytes(8)

    def _drawn_bytes(self, length: int) -> bytes:
        self._drawn += 1
        return self._bytes(length, "drawn", self._drawn)

    def _bytes(self, length: int, *words: object) -> bytes:
        text = "\0".join(map(str, (self._seed, *words)))
        return hashlib.shake_256(text.encode()).digest(length)


def attachment_id(message_id: str, path: str, salt: bytes) -> str:
    """The id of an attachment under that of its message, with which it begins."""
    own = hashlib.shake_256(f"{message_id}\0{path}\0".encode() + salt).digest(16)
    return _text(base64.urlsafe_b64decode(message_id + "=" * (-len(message_id) % 4)) + _ATTACHMENT + own)


def looks_like_id(text: str) -> bool:
    """Whether it can be read as an id at all."""
    return text.startswith(("AAMk", "AAkA", "AQMk")) and len(text) > 24


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii")
