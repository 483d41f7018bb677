"""Reads who wrote to whom, when and about what out of a raw header block; believes none of it and never fails."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice

from satchel.contract.events import EmailAddress, Recipient
from satchel.mail.mime.charsets import decode_text
from satchel.mail.mime.encoded_words import decode_words
from satchel.mail.mime.headers import first_fields
from satchel.mail.mime.names import clean

MAX_RECIPIENTS = 1_000
_MAX_ADDRESSES_BYTES = 256 * 1024
_MAX_TEXT_BYTES = 16 * 1024
_MAX_DATE_LENGTH = 256
_EARLIEST_YEAR = 1970
_NOBODY = Recipient()

_FIELDS = frozenset(
    ("message-id", "date", "received", "subject", "sender", "from", "to", "cc", "references", "in-reply-to")
)
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,996}>")
# RFC 5322 section 3.2, forgiving: a quote that is never closed ends with the field.
_TOKEN = re.compile(r"""
    (?P<word>=\?[^?\s]{1,60}\?[bBqQ]\?[^?]*+\?=)
  | "(?P<quoted>(?:[^"\\]|\\.)*+)(?:"|\\?\Z)
  | <(?P<angle>[^<>]*+)(?:>|(?=<)|\Z)
  | (?P<open>\()
  | (?P<separator>[,;])
  | (?P<colon>:)
  | (?P<text>(?:[^"<(,;:=]|=(?!\?))++|=)
""", re.VERBOSE | re.DOTALL)  # fmt: skip
_WITHIN = re.compile(r"<([^<>\s]*+)>")
_PARENTHESIS = re.compile(r"\\.|[()]", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a header says. Texts are free of control characters; "" and None where the header says nothing.

    `received` is the date of the topmost `Received:` field. `conversation_root` is the Message-ID that the
    conversation began with: the first of References, else of In-Reply-To, else the message's own.
    """

    message_id: str = ""
    date: datetime | None = None
    received: datetime | None = None
    subject: str = ""
    sender: Recipient = _NOBODY
    from_: Recipient = _NOBODY
    to: tuple[Recipient, ...] = ()
    cc: tuple[Recipient, ...] = ()
    conversation_root: str = ""


def read_envelope(header: bytes) -> Envelope:
    """The envelope of a raw header block: any bytes, never an exception. At most `MAX_RECIPIENTS` each in to and cc."""
    fields = first_fields(header, _FIELDS)
    from_ = _first(fields.get("from", b""))
    sender = _first(fields.get("sender", b""))
    message_id = _message_id(fields.get("message-id", b""))
    return Envelope(
        message_id=message_id,
        date=_date(_text(fields.get("date", b""))),
        received=_date(_text(fields.get("received", b"")).rpartition(";")[2]),
        subject=_decoded(_text(fields.get("subject", b""))),
        sender=sender or from_ or _NOBODY,
        from_=from_ or sender or _NOBODY,
        to=read_recipients(fields.get("to", b"")),
        cc=read_recipients(fields.get("cc", b"")),
        conversation_root=_listed_id(fields.get("references", b""))
        or _listed_id(fields.get("in-reply-to", b""))
        or message_id,
    )


def read_recipients(value: bytes, limit: int = MAX_RECIPIENTS) -> tuple[Recipient, ...]:
    """The first recipients of an address list (RFC 5322 section 3.4), members of groups among them."""
    return tuple(islice(_recipients(decode_text(value[:_MAX_ADDRESSES_BYTES])), limit))


@dataclass(slots=True)
class _Address:
    """What was read of one address so far."""

    words: list[str] = field(default_factory=list)
    comment: str = ""
    angle: str | None = None

    def finished(self) -> Recipient | None:
        words = "".join(self.words).strip()
        within = _WITHIN.search(words) if self.angle is None else None
        if within is not None:
            # A quote that was never closed has swallowed the address.
            self.angle, words = within[1], words[: within.start()].strip()
        if self.angle is not None:
            # An obsolete route, `<@relay,@relay:local@domain>`, is no part of the address.
            address = self.angle.rpartition(":")[2] if self.angle.startswith("@") else self.angle
            name = words or self.comment
        elif "@" in words or not _SPACES.search(words):
            address, name = words, self.comment
        else:
            address, name = "", words
        address, name = clean(_SPACES.sub("", address)), _decoded(name)
        return Recipient(EmailAddress(name=name, address=address)) if address or name else None


def _recipients(text: str) -> Iterator[Recipient]:
    address = _Address()
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            position += 1
            continue
        position = token.end()
        if token["open"]:
            position, address.comment = _comment(text, position)
        elif token["separator"]:
            finished = address.finished()
            address = _Address()
            if finished is not None:
                yield finished
        elif token["colon"]:
            # What stands before a colon is a group's name.
            address = _Address()
        elif token["angle"] is not None:
            inside = token["angle"]
            if text[position - 1] != ">":
                inside = inside.partition(",")[0]
                position = token.start() + 1 + len(inside)
            address.angle = inside.strip()
        else:
            address.words.append(token["word"] or token["text"] or _ESCAPE.sub(r"\1", token["quoted"] or ""))
    finished = address.finished()
    if finished is not None:
        yield finished


def _comment(text: str, position: int) -> tuple[int, str]:
    """Where the comment that was opened before `position` ends, and what is in it."""
    depth = 1
    for found in _PARENTHESIS.finditer(text, position):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return found.end(), _ESCAPE.sub(r"\1", text[position : found.start()])
    return len(text), _ESCAPE.sub(r"\1", text[position:])


def _first(value: bytes) -> Recipient | None:
    return next(iter(read_recipients(value, 1)), None)


def _message_id(value: bytes) -> str:
    text = clean(_text(value))[:998]
    found = _MESSAGE_ID.search(text)
    return found[0] if found else text.strip()


def _listed_id(value: bytes) -> str:
    found = _MESSAGE_ID.search(clean(_text(value)))
    return found[0] if found else ""


def _text(value: bytes) -> str:
    return decode_text(value[:_MAX_TEXT_BYTES])


def _decoded(text: str) -> str:
    return clean(decode_words(text)).strip()


def _date(text: str) -> datetime | None:
    """RFC 5322 section 3.3; a date without a zone is taken as UTC, one before 1970 as none."""
    try:
        found = parsedate_to_datetime(text[:_MAX_DATE_LENGTH].strip())
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
        return None
    return found if found.year >= _EARLIEST_YEAR else None
