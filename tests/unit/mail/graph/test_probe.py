"""One question, one request; and the answer as it came."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

import pytest

from satchel.mail.graph.options import CallOptions
from satchel.mail.graph.probe import GraphProbe
from satchel.mail.graph.transport import Answer, Broken, Request

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


class GivenAnswer:
    def __init__(self, status: int, headers: Mapping[str, str], body: list[bytes | Exception]) -> None:
        self.status, self.headers, self._body = status, headers, body
        self.released = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self._body:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def release(self) -> None:
        self.released += 1


class Line:
    """A transport to one answer; it remembers what was sent and to where it was opened."""

    def __init__(self, answer: GivenAnswer | Exception) -> None:
        self.answer = answer
        self.opened: list[CallOptions] = []
        self.sent: list[Request] = []
        self.closed = 0

    def __call__(self, options: CallOptions) -> "Line":
        self.opened.append(options)
        return self

    async def send(self, request: Request) -> Answer:
        self.sent.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def aclose(self) -> None:
        self.closed += 1


class OneToken:
    async def token(self) -> str:
        return "secret"

    async def renewed(self, stale: str) -> str:
        raise AssertionError("a doctor asks once")

    async def aclose(self) -> None:
        pass


def probe(line: Line) -> GraphProbe:
    return GraphProbe(CallOptions(base_url="https://graph.example"), OneToken(), transport=line, now=lambda: NOW)


async def test_a_mailbox_is_asked_for_one_id() -> None:
    headers = {"Date": "Wed, 04 Mar 2026 05:06:01 GMT", "Retry-After": "7", "x-ms-throttle-limit-percentage": "0.9"}
    answer = GivenAnswer(429, headers, [b'{"error": {"code": "Application', b'Throttled"}}'])
    line = Line(answer)
    reply = await probe(line).read_mailbox("o'neil@example.com", "AAMk/x=")
    assert (reply.status, reply.code, reply.retry_after_seconds, reply.throttle_share) == (
        429,
        "ApplicationThrottled",
        7,
        0.9,
    )
    assert reply.server_time is not None
    assert reply.our_time is not None
    assert (reply.our_time - reply.server_time).total_seconds() == 6
    (request,) = line.sent
    path = "users/o%27neil@example.com/mailFolders/AAMk%2Fx=/messages?$top=1&$select=id"
    assert request.url == f"https://graph.example/v1.0/{path}"
    assert request.headers["Authorization"] == "Bearer secret"
    assert answer.released == 1


async def test_a_handshake_shows_no_token_to_anybody() -> None:
    line = Line(GivenAnswer(200, {"Content-Type": "text/plain"}, [b"a b"]))
    reply = await probe(line).shake_hands("https://mail.example/notifications/graph", "a b")
    assert (reply.status, reply.body, reply.content_type) == (200, b"a b", "text/plain")
    (request,), (options,) = line.sent, line.opened
    assert (request.method, request.url) == (
        "POST",
        "https://mail.example/notifications/graph?validationToken=a%20b",
    )
    assert "Authorization" not in request.headers
    assert (options.base_url, line.closed) == ("https://mail.example", 1)


@pytest.mark.parametrize("answer", [Broken("reset"), GivenAnswer(200, {}, [b"x", Broken("reset")])])
async def test_what_breaks_is_no_answer(answer: GivenAnswer | Exception) -> None:
    reply = await probe(Line(answer)).read_mailbox("a@example.com", "inbox")
    assert (reply.status, reply.trouble) == (None, "reset")


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 99 Mar 2026 05:06:01 GMT", None])
async def test_headers_that_are_none(date: str | None) -> None:
    headers = {"x-ms-throttle-limit-percentage": "much"} | ({} if date is None else {"Date": date})
    reply = await probe(Line(GivenAnswer(200, headers, []))).read_mailbox("a@example.com", "inbox")
    assert (reply.status, reply.server_time, reply.throttle_share) == (200, None, None)


async def test_a_page_without_end_is_not_read_to_it() -> None:
    reply = await probe(Line(GivenAnswer(200, {}, [b"x" * 50_000] * 100))).read_mailbox("a@example.com", "inbox")
    assert len(reply.body) == 64 * 1024
