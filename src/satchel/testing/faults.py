"""What the fake gateway can do wrong, as values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with a status of 400 or more and the error envelope: 429 with or without `Retry-After`, 5xx, 401 …"""

    status: int
    retry_after: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Html:
    """Answer with an HTML page, as a proxy or a sign-in portal does."""

    status: int = 200
    location: str | None = None


@dataclass(frozen=True, slots=True)
class ShortBody:
    """Close the connection in order after `after_bytes` of the body, though more were announced."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class LongBody:
    """Send `extra_bytes` more than announced. HTTP/1.1 clients see the announced bytes, then a broken connection."""

    extra_bytes: int


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection after `after_bytes` of the body."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class Stall:
    """Send nothing more after `after_bytes` of the body, and keep the connection open."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Close the connection instead of answering."""


Fault = Refuse | Html | ShortBody | LongBody | Reset | Stall | NoAnswer
