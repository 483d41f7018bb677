"""Graph's JSON as it comes: pages and errors. Every field that Graph may leave out or set to null may be missing."""

from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

_LONGEST_CODE = 100


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a collection. `next_link` is the URL of the next; `delta_link` ends a round of a delta query."""

    value: list[T]
    next_link: str | None = msgspec.field(name="@odata.nextLink", default=None)
    delta_link: str | None = msgspec.field(name="@odata.deltaLink", default=None)


class _Error(msgspec.Struct, frozen=True):
    code: Any = None


class _Failure(msgspec.Struct, frozen=True):
    error: _Error


def error_code(body: bytes) -> str:
    """The code in the body of a failure, empty where it has none: gateways in between answer with pages of HTML."""
    try:
        code = msgspec.json.decode(body, type=_Failure).error.code
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    # It goes into logs, so it must be a code and nothing else.
    plain = isinstance(code, str) and code.replace("_", "").replace(".", "").isalnum() and code.isascii()
    return code[:_LONGEST_CODE] if plain else ""
