"""Trailers of chunked answers, in the form of ASGI's extension `http.response.trailers`, which uvicorn lacks."""

import re
from typing import Any, cast

from uvicorn._types import ASGI3Application, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from satchel.process.heads import HeadHolder

EXTENSION = "http.response.trailers"
_UNSAFE = re.compile(rb"[\x00-\x20\x7f()<>@,;:\\\[\]={}\"/?]")
_UNSAFE_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def with_trailers(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """The application, with the extension in the scope of a request whose client takes trailers (RFC 9110 section
    6.5.1: `TE: trailers`), on HTTP/1.1 alone. Of an answer that turns out to be not chunked they are left out."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["http_version"] != "1.1" or not _takes_trailers(scope["headers"]):
            await app(scope, receive, send)
            return
        scope["extensions"] = {**scope.get("extensions", {}), EXTENSION: {}}
        await app(scope, receive, _Trailing(cycle).send)

    return answer


class _Trailing:
    """Holds the end of the body back until the trailers are there, where the application has announced some."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._are_announced = False
        self._lines: list[bytes] = []

    async def send(self, message: ASGISendEvent) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._are_announced = bool(message.get("trailers", False))
        elif self._are_announced and kind == EXTENSION:
            await self._take(cast("dict[str, Any]", message))
            return
        elif self._are_announced and kind == "http.response.body" and not message.get("more_body", False):
            if message.get("body"):
                await self._cycle.send(cast("ASGISendEvent", {**message, "more_body": True}))
            return
        await self._cycle.send(message)

    async def _take(self, message: dict[str, Any]) -> None:
        for name, value in message.get("headers", ()):
            if _UNSAFE.search(name) or _UNSAFE_VALUE.search(value):
                raise RuntimeError("Invalid trailer.")
            self._lines.append(name + b": " + value + b"\r\n")
        if not message.get("more_trailers", False):
            if self._cycle.chunked_encoding:
                cast("HeadHolder", self._cycle.transport).trail(b"".join(self._lines))
            await self._cycle.send({"type": "http.response.body", "body": b"", "more_body": False})


def _takes_trailers(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(
        coding.partition(b";")[0].strip().lower() == b"trailers"
        for name, value in headers
        if name == b"te"
        for coding in value.split(b",")
    )
