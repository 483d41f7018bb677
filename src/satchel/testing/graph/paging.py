"""Pages: what one of them holds, and the link to the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, unquote

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Page:
    """Places `start` to `stop` of a list; `more` tells whether there are any behind."""

    start: int
    stop: int
    more: bool


def cut(items: Sequence[_T], skip: int, size: int) -> tuple[Sequence[_T], Page]:
    """A page of so many at the most."""
    stop = min(skip + size, len(items))
    return items[skip:stop], Page(skip, stop, stop < len(items))


def link(base_url: str, raw_path: str, raw_query: str, **changed: str) -> str:
    """The request's own URL with these options set; everything else stays as the client wrote it."""
    kept = [pair for pair in raw_query.split("&") if pair and _name(pair) not in changed]
    added = [f"%24{name}={quote(value, safe='')}" for name, value in changed.items()]
    return f"{base_url}{raw_path}?{'&'.join([*kept, *added])}"


def _name(pair: str) -> str:
    return unquote(pair.partition("=")[0]).removeprefix("$")
