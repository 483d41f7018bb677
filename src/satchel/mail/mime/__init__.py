"""Reads a message's structure and its attachments' bytes by offset; keeps nothing and decides nothing about access."""

from satchel.mail.mime.bounds import Bounds, MessageTooComplex
from satchel.mail.mime.found import Encoding, FoundAttachment, MessageStructure

__all__ = ["Bounds", "Encoding", "FoundAttachment", "MessageStructure", "MessageTooComplex"]
