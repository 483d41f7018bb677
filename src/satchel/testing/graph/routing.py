"""Which call a path is, in every spelling that Graph takes: `mailFolders('inbox')` and `mailFolders/inbox`."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web

from satchel.testing.graph.errors import GraphError
from satchel.testing.graph.exchange import Exchange

Answer = Callable[[Exchange], Awaitable[web.StreamResponse]]
_KEYED = re.compile(r"([A-Za-z]+)\('(.*)'\)")
_FUNCTION = re.compile(r"(?:microsoft\.graph\.)?([A-Za-z]+)\(\)|microsoft\.graph\.([A-Za-z]+)")


@dataclass(frozen=True, slots=True)
class Route:
    """One call: `path` is a template with names in braces, `kind` its name for faults, `role` what it needs."""

    method: str
    path: str
    kind: str
    answer: Answer
    role: str = "Mail.Read"

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(self.path.strip("/").split("/"))


@dataclass(frozen=True, slots=True)
class Found:
    """The route of a request, and what stands for the names in its template."""

    route: Route
    params: dict[str, str]


def segments(raw_path: str) -> list[str]:
    """A path's segments in their plain spelling, decoded. A folder before the messages in it is left out."""
    plain: list[str] = []
    for raw in raw_path.strip("/").split("/"):
        each = unquote(raw)
        keyed, function = _KEYED.fullmatch(each), _FUNCTION.fullmatch(each)
        if keyed is not None:
            plain += [keyed[1], keyed[2].replace("''", "'")]
        else:
            plain.append(each if function is None else function[1] or function[2])
    within_folder = len(plain) > 5 and plain[2].lower() == "mailfolders" and plain[4].lower() == "messages"
    return plain[:2] + plain[4:] if within_folder and plain[5] != "delta" else plain


def find(routes: Sequence[Route], method: str, raw_path: str) -> Found:
    """The call that a path below /v1.0 is. Raises GraphError where there is none, or none by this method."""
    given = segments(raw_path)
    methods = []
    for route in routes:
        params = _match(route.segments, given)
        if params is not None:
            if route.method == method:
                return Found(route, params)
            methods.append(route.method)
    if methods:
        raise GraphError(
            405, "Request_BadRequest", "The OData request is not supported.", headers={"Allow": ", ".join(methods)}
        )
    raise GraphError(400, "BadRequest", f"Resource not found for the segment '{given[-1][:40]}'.")


def _match(template: tuple[str, ...], given: list[str]) -> dict[str, str] | None:
    if len(template) != len(given):
        return None
    params = {}
    for wanted, each in zip(template, given, strict=True):
        if wanted.startswith("{"):
            params[wanted[1:-1]] = each
        elif wanted.lower() != each.lower():
            return None
    return params
