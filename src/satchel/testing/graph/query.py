"""Reads OData query options: what is asked for and in which order; refuses what Graph refuses."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from satchel.testing.graph.errors import GraphError, bad_query

MAX_TOP = 1000
_COMPARISON = re.compile(r"\s*([A-Za-z/]+)\s+(eq|ne|ge|gt|le|lt)\s+('(?:[^']|'')*'|[^\s']+)\s*(?:(and)\b|$)")
_COMPARE: Mapping[str, Callable[[int], bool]] = {
    "eq": lambda sign: sign == 0,
    "ne": lambda sign: sign != 0,
    "ge": lambda sign: sign >= 0,
    "gt": lambda sign: sign > 0,
    "le": lambda sign: sign <= 0,
    "lt": lambda sign: sign < 0,
}
Value = str | bool | datetime | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One `property operator literal`."""

    name: str
    operator: str
    literal: Value

    def holds(self, value: Value) -> bool:
        """Whether a property with this value passes. Texts compare without regard to case, as Exchange does."""
        literal = self.literal
        if isinstance(value, str) and isinstance(literal, str):
            sign = _sign(value.lower() > literal.lower(), value.lower() == literal.lower())
        elif isinstance(value, datetime) and isinstance(literal, datetime):
            sign = _sign(value > literal, value == literal)
        else:
            sign = 0 if value == literal else 1
        return _COMPARE[self.operator](sign)


def read_filter(text: str | None) -> tuple[Comparison, ...]:
    """A `$filter` of comparisons joined by `and`. Raises GraphError for any other."""
    found: list[Comparison] = []
    position = 0
    while text and position < len(text):
        match = _COMPARISON.match(text, position)
        if match is None or (match[4] and match.end() == len(text)):
            raise GraphError(400, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more invalid nodes.")
        found.append(Comparison(match[1], match[2], _literal(match[3])))
        position = match.end()
    return tuple(found)


def read_order(text: str | None) -> tuple[tuple[str, bool], ...]:
    """An `$orderby`: names of properties, and whether they fall. Raises GraphError."""
    order = []
    for each in (text or "").split(",") if text else ():
        name, _, direction = each.strip().partition(" ")
        if not name or direction.strip() not in {"", "asc", "desc"}:
            raise bad_query("Syntax error in the '$orderby' query option.")
        order.append((name, direction.strip() == "desc"))
    return tuple(order)


def check_order(filters: tuple[Comparison, ...], order: tuple[tuple[str, bool], ...]) -> None:
    """What is sorted by must also be filtered by, before anything else (Graph: list messages). Raises GraphError."""
    if filters and order and [each.name for each in filters[: len(order)]] != [name for name, _ in order]:
        raise GraphError(400, "InefficientFilter", "The restriction or sort order is too complex for this operation.")


def read_number(text: str | None, name: str, default: int, least: int, most: int) -> int:
    """A `$top` or a `$skip`. Raises GraphError."""
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 10 or not least <= int(text) <= most:
        raise bad_query(f"Invalid value '{text[:40]}' for ${name} query option found.")
    return int(text)


def read_select(text: str | None) -> tuple[str, ...]:
    """The names in a `$select`, casts with them; none: everything is wanted."""
    return tuple(name for each in (text or "").split(",") if (name := each.strip()))


def read_instant(text: str) -> datetime | None:
    """An instant as Graph takes it in filters and bodies."""
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _literal(text: str) -> Value:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    if text in {"true", "false", "null"}:
        return {"true": True, "false": False, "null": None}[text]
    instant = read_instant(text)
    if instant is None:
        raise GraphError(400, "BadRequest", "Invalid filter clause")
    return instant


def _sign(greater: bool, equal: bool) -> int:
    return 0 if equal else 1 if greater else -1
