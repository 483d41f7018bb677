"""A Graph without sockets: answers by request, at the seam under `GraphHttp`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from multidict import CIMultiDict

from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.options import CallOptions
from satchel.mail.graph.transport import Broken, Request

BASE_URL = "https://graph.example"


@dataclass
class FakeAnswer:
    """`broken`: the body breaks off after its pieces. `released` says whether it was let go."""

    status: int = 200
    body: bytes | list[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    broken: bool = False
    released: bool = False

    def __post_init__(self) -> None:
        self.headers = CIMultiDict(self.headers)
        if isinstance(self.body, bytes):
            self.body = [self.body] if self.body else []
            if not self.broken and "Transfer-Encoding" not in self.headers:
                self.headers.setdefault("Content-Length", str(sum(map(len, self.body))))

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self.body:
            await asyncio.sleep(0)
            yield piece
        if self.broken:
            raise Broken("the connection broke")

    def release(self) -> None:
        self.released = True


def json(value: Any, status: int = 200, **headers: str) -> FakeAnswer:
    return FakeAnswer(
        status, msgspec.json.encode(value), {name.replace("_", "-"): text for name, text in headers.items()}
    )


def refusal(status: int, code: str = "", **headers: str) -> FakeAnswer:
    return json({"error": {"code": code, "message": "a@example.com is not to be told"}}, status, **headers)


@dataclass
class Asked:
    """A request, and when it came by the loop's time."""

    request: Request
    at: float

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.request.url).path).removeprefix("/v1.0/")

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.request.url).query))


Script = Callable[[Asked], FakeAnswer | Awaitable[FakeAnswer]]


class FakeGraph:
    """Answers with what the script says, an exception included; keeps all that was asked and the most at once."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.asked: list[Asked] = []
        self.answers: list[FakeAnswer] = []
        self.under_way = 0
        self.peak = 0
        self.closed = False

    @classmethod
    def of(cls, *answers: FakeAnswer | Exception) -> "FakeGraph":
        """One answer after the other."""
        left = list(answers)

        def next_one(asked: Asked) -> FakeAnswer:
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return cls(next_one)

    def __call__(self, options: CallOptions) -> "FakeGraph":
        return self

    async def send(self, request: Request) -> FakeAnswer:
        asked = Asked(request, asyncio.get_running_loop().time())
        self.asked.append(asked)
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        try:
            answer = self._script(asked)
            if not isinstance(answer, FakeAnswer):
                answer = await answer
        finally:
            self.under_way -= 1
        self.answers.append(answer)
        return answer

    async def aclose(self) -> None:
        self.closed = True

    @property
    def paths(self) -> list[str]:
        return [each.path for each in self.asked]


class FakeTokens:
    """Tokens t0, t1, …: a new one with each renewal."""

    def __init__(self) -> None:
        self.number = 0
        self.closed = False

    async def token(self) -> str:
        return f"t{self.number}"

    async def renewed(self, stale: str) -> str:
        if stale == f"t{self.number}":
            self.number += 1
        return f"t{self.number}"

    async def aclose(self) -> None:
        self.closed = True


def http_over(graph: FakeGraph, *, tokens: FakeTokens | None = None, jitter: float = 0.5, **options: Any) -> GraphHttp:
    made = CallOptions(base_url=BASE_URL, **options)
    return GraphHttp(made, tokens or FakeTokens(), transport=graph, jitter=lambda: jitter)
