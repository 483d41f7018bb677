"""Pages: what one of them holds, and the link to the next."""

from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import quote, unquote

from satchel.testing.graph.exchange import Exchange
from satchel.testing.graph.query import MAX_TOP, read_number

_T = TypeVar("_T")


def page(
    exchange: Exchange, items: Sequence[_T], default_size: int, most: int = MAX_TOP
) -> tuple[Sequence[_T], dict[str, str]]:
    """What `$top` and `$skip` ask for, `most` at a time, and the annotation with the link to what is behind, if
    anything is. Raises GraphError."""
    size = min(read_number(exchange.option("top"), "top", default_size, 1, MAX_TOP), most)
    skip = read_number(exchange.option("skip"), "skip", 0, 0, 10**9)
    stop = skip + size
    if stop >= len(items):
        return items[skip:], {}
    url = exchange.request.rel_url
    following = link(exchange.world.base_url, url.raw_path, url.raw_query_string, skip=str(stop))
    return items[skip:stop], {"@odata.nextLink": following}


def link(base_url: str, raw_path: str, raw_query: str, **changed: str) -> str:
    """The request's own URL with these options set; everything else stays as the client wrote it."""
    kept = [pair for pair in raw_query.split("&") if pair and _name(pair) not in changed]
    added = [f"%24{name}={quote(value, safe='')}" for name, value in changed.items()]
    return f"{base_url}{raw_path}?{'&'.join([*kept, *added])}"


def _name(pair: str) -> str:
    return unquote(pair.partition("=")[0]).removeprefix("$")
