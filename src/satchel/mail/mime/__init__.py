"""Reads a message's structure and its attachments' bytes by offset; keeps nothing and decides nothing about access."""

from satchel.mail.mime.bounds import Bounds, MessageTooComplex
from satchel.mail.mime.content import decode, measure
from satchel.mail.mime.found import Encoding, FoundAttachment, MessageStructure
from satchel.mail.mime.size_index import ContentChanged, SizeIndex
from satchel.mail.mime.structure import read_structure
from satchel.mail.mime.text import read_text

__all__ = [
    "Bounds",
    "ContentChanged",
    "Encoding",
    "FoundAttachment",
    "MessageStructure",
    "MessageTooComplex",
    "SizeIndex",
    "decode",
    "measure",
    "read_structure",
    "read_text",
]
