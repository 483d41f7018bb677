"""The Graph client: signs, paces and repeats calls, follows pages, and streams bodies. It knows HTTP and OData, and
nothing of mail."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import msgspec
from yarl import URL

from satchel import __version__
from satchel.contract.headers import parse_retry_after
from satchel.mail.graph.body import GraphBody, OpenBodies
from satchel.mail.graph.errors import GraphRefusal, TooLarge, unusable
from satchel.mail.graph.options import CallOptions
from satchel.mail.graph.retry import DEFAULT_RETRIES, THROTTLED, UNAUTHORIZED, Failure, GiveUp, RenewToken, RetryPolicy
from satchel.mail.graph.throttle import Limits, Places
from satchel.mail.graph.tokens import TokenSource
from satchel.mail.graph.transport import AiohttpTransport, Answer, Broken, Request, Transport
from satchel.mail.graph.wire import Page, error_code
from satchel.mail.source import SourceUnavailable

IMMUTABLE_IDS = 'IdType="ImmutableId"'
_MAX_JSON_BYTES = 32 * 1024 * 1024
_MAX_FAILURE_BYTES = 64 * 1024
_MAX_PAGES = 100_000
# Graph counts within minutes. A longer pause, such as a date gives where a clock is wrong, is not believed.
_LONGEST_PAUSE_SECONDS = 3600.0
_WITH_CONTENT = frozenset({200, 206})

T = TypeVar("T")
P = TypeVar("P", bound=Page[Any])
# What is made of an answer of success. What it holds is let go afterwards, unless that is taken over.
_Use = Callable[[Answer, ExitStack], Awaitable[T]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    method: str
    url: str
    mailbox: str | None
    headers: Mapping[str, str]
    body: bytes | None = None
    repeatable: bool
    for_body: bool = False
    patience_seconds: float | None = None


class GraphHttp:
    """Calls to Graph below `{base_url}/v1.0`, as the application, in turn.

    `path` is below the version, or a whole URL that Graph gave as a next or delta link; one of another origin is
    refused, since the token would go there. `mailbox` is whose limit a call counts for. What is transient is tried
    again within the options' patience, or that of the call: it covers waiting for a place, for Retry-After and between
    attempts, not the calls themselves. All methods raise `GraphRefusal` for a status that trying again does not change,
    and `SourceUnavailable` for everything else; that of a 429, a 401 or a 5xx has the status in it.

    Time is the event loop's; `now` is for a Retry-After that is a date. `jitter` gives random numbers from 0 to 1.
    """

    def __init__(
        self,
        options: CallOptions,
        tokens: TokenSource,
        *,
        transport: Callable[[CallOptions], Transport] = AiohttpTransport,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        retries: RetryPolicy = DEFAULT_RETRIES,
    ) -> None:
        self._options = options
        self._tokens = tokens
        self._new_transport = transport
        self._transport: Transport | None = None
        self._jitter = jitter
        self._now = now
        self._retries = retries
        self._origin = URL(options.base_url).origin()
        self._limits = Limits(options.max_concurrent, options.max_concurrent_per_mailbox)
        self._bodies = OpenBodies()

    async def get(
        self,
        path: str,
        *,
        mailbox: str | None,
        as_: type[T],
        params: Mapping[str, str] | None = None,
        prefer: Sequence[str] = (),
        max_bytes: int = _MAX_JSON_BYTES,
        patience_seconds: float | None = None,
    ) -> T:
        """What is there, decoded from JSON. Raises `TooLarge` beyond `max_bytes`."""
        call = self._call("GET", path, mailbox, params=params, headers={"Prefer": _prefer(prefer)}, repeatable=True)
        call = replace(call, patience_seconds=patience_seconds)
        return await self._with_retries(call, _decoder(as_, max_bytes))

    async def pages(
        self,
        path: str,
        *,
        mailbox: str | None,
        as_: type[P],
        params: Mapping[str, str] | None = None,
        prefer: Sequence[str] = (),
        patience_seconds: float | None = None,
    ) -> AsyncIterator[P]:
        """All pages of a collection, each `as_` a `Page[...]`, to the one without a next link. The patience is for each
        of them."""
        seen: set[str] = set()
        while True:
            page = await self.get(
                path, mailbox=mailbox, as_=as_, params=params, prefer=prefer, patience_seconds=patience_seconds
            )
            yield page
            if not page.next_link:
                return
            if page.next_link in seen or len(seen) >= _MAX_PAGES:
                raise unusable("its pages have no end")
            seen.add(page.next_link)
            # The next link has the parameters in it.
            path, params = page.next_link, None

    async def post(self, path: str, body: Any, *, mailbox: str | None, as_: type[T], repeatable: bool = False) -> T:
        """What is answered, decoded; `as_` is `NoneType` for nothing. One that is not `repeatable` is tried again
        only when the server has certainly not acted on it."""
        call = self._call("POST", path, mailbox, body=body, repeatable=repeatable)
        return await self._with_retries(call, _decoder(as_, _MAX_JSON_BYTES))

    async def patch(self, path: str, body: Any, *, mailbox: str | None, as_: type[T]) -> T:
        """As `post`; setting the same twice does no harm."""
        call = self._call("PATCH", path, mailbox, body=body, repeatable=True)
        return await self._with_retries(call, _decoder(as_, _MAX_JSON_BYTES))

    async def delete(self, path: str, *, mailbox: str | None) -> None:
        """A second attempt after a lost answer may be refused with 404."""
        call = self._call("DELETE", path, mailbox, repeatable=True)
        await self._with_retries(call, _decoder(type(None), _MAX_JSON_BYTES))

    async def stream(
        self,
        path: str,
        *,
        mailbox: str | None,
        headers: Mapping[str, str] | None = None,
        patience_seconds: float | None = None,
    ) -> GraphBody:
        """An answer with content, the whole or a part, with its body still to come; the caller closes it."""
        call = self._call("GET", path, mailbox, headers=headers, repeatable=True)
        call = replace(call, for_body=True, patience_seconds=patience_seconds)

        async def take(answer: Answer, held: ExitStack) -> GraphBody:
            if answer.status not in _WITH_CONTENT:
                raise unusable("it has no content")
            return GraphBody(answer, held.pop_all(), self._bodies)

        return await self._with_retries(call, take)

    def free_places(self, mailbox: str) -> int:
        """How many calls about a mailbox could begin at once."""
        return self._limits.free(mailbox)

    async def aclose(self) -> None:
        if self._transport is not None:
            await self._transport.aclose()

    def _call(
        self,
        method: str,
        path: str,
        mailbox: str | None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        repeatable: bool,
    ) -> _Call:
        all_headers = {
            "Accept-Encoding": "identity",
            "User-Agent": f"Satchel/{__version__}",
            "Prefer": _prefer(),
            **(headers or {}),
        }
        if body is not None:
            all_headers["Content-Type"] = "application/json"
        return _Call(
            method=method,
            url=self._url(path, params or {}),
            mailbox=mailbox,
            headers=all_headers,
            body=None if body is None else msgspec.json.encode(body),
            repeatable=repeatable,
        )

    def _url(self, path: str, params: Mapping[str, str]) -> str:
        if "://" in path.partition("?")[0]:
            self._refuse_foreign(path)
            url = path
        else:
            url = f"{self._options.base_url}/v1.0/{path.lstrip('/')}"
        if not params:
            return url
        query = "&".join(f"{quote(key, safe='$')}={quote(value, safe='$,()/')}" for key, value in params.items())
        return f"{url}{'&' if '?' in url else '?'}{query}"

    def _refuse_foreign(self, link: str) -> None:
        """A link is followed with the token, so it must lead to where the token belongs."""
        try:
            url = URL(link, encoded=True)
            own = url.origin() == self._origin and url.user is None
        except ValueError:
            own = False
        if not own or not (link.isascii() and link.isprintable()) or " " in link:
            raise unusable("a link in it leads elsewhere")

    async def _with_retries(self, call: _Call, use: _Use[T]) -> T:
        """What `use` makes of the first answer of success."""
        loop = asyncio.get_running_loop()
        patience_seconds = self._options.patience_seconds if call.patience_seconds is None else call.patience_seconds
        patience_ends = loop.time() + patience_seconds
        token = await self._tokens.token()
        token_is_new = False
        attempt = 0
        while True:
            attempt += 1
            places = await self._limits.take(call.mailbox, patience_ends, for_body=call.for_body)
            sent = loop.time()
            outcome = await self._attempt(call, token, places, use)
            # The time that the call itself took is the server's; patience is for waiting.
            patience_ends += loop.time() - sent
            if not isinstance(outcome, Failure):
                return outcome
            decision = self._retries.decide(
                outcome,
                attempt=attempt,
                left_seconds=patience_ends - loop.time(),
                repeatable=call.repeatable,
                token_is_new=token_is_new,
                jitter=self._jitter(),
            )
            if isinstance(decision, RenewToken):
                token, token_is_new = await self._tokens.renewed(token), True
            elif isinstance(decision, GiveUp):
                raise self._failed(call, outcome)
            elif outcome.status == THROTTLED:
                # Waited for with all others, before the next place is taken.
                self._limits.throttled(call.mailbox, sent, decision.wait_seconds)
            else:
                await asyncio.sleep(decision.wait_seconds)

    async def _attempt(self, call: _Call, token: str, places: Places, use: _Use[T]) -> T | Failure:
        with ExitStack() as held:
            held.callback(places.give_back)
            try:
                answer = await self._send(call, token)
                held.callback(answer.release)
                if answer.status >= 300:
                    return await self._failure(call, answer, places)
                if _is_encoded(answer):
                    raise unusable("it is compressed, though it was asked not to be")
                result = await use(answer, held)
            except Broken as error:
                return Failure(None, str(error), may_have_acted=error.may_have_acted)
        self._limits.succeeded(call.mailbox)
        return result

    async def _send(self, call: _Call, token: str) -> Answer:
        if self._transport is None:
            self._transport = self._new_transport(self._options)
        request = Request(
            method=call.method,
            url=call.url,
            headers={**call.headers, "Authorization": f"Bearer {token}", "client-request-id": str(uuid4())},
            body=call.body,
            read_buffer_bytes=self._bodies.read_buffer_bytes(),
        )
        return await self._transport.send(request)

    async def _failure(self, call: _Call, answer: Answer, places: Places) -> Failure:
        code = error_code(await _read_some(answer, _MAX_FAILURE_BYTES))
        wait_seconds = parse_retry_after(answer.headers.get("Retry-After"), self._now())
        if wait_seconds is not None:
            wait_seconds = min(wait_seconds, _LONGEST_PAUSE_SECONDS)
        if answer.status == THROTTLED:
            self._limits.throttled(call.mailbox, places.began, wait_seconds or 0.0)
        return Failure(answer.status, code, wait_seconds, may_have_acted=answer.status != THROTTLED)

    def _failed(self, call: _Call, failure: Failure) -> Exception:
        if failure.status is None:
            return SourceUnavailable(f"The mail server cannot be reached: {failure.code}.")
        if failure.status == THROTTLED:
            return SourceUnavailable(
                "The mail server limits requests.",
                upstream_status=THROTTLED,
                retry_after_seconds=self._limits.pause_left(call.mailbox) or failure.retry_after_seconds,
            )
        if failure.is_transient or failure.status == UNAUTHORIZED:
            return SourceUnavailable(
                f"The mail server answered {failure.status} {failure.code}".rstrip() + ".",
                upstream_status=failure.status,
                retry_after_seconds=failure.retry_after_seconds,
            )
        if failure.status < 400:
            return unusable("it leads elsewhere")
        return GraphRefusal(failure.status, failure.code, failure.retry_after_seconds)


def _prefer(others: Sequence[str] = ()) -> str:
    return ", ".join([IMMUTABLE_IDS, *others])


def _is_encoded(answer: Answer) -> bool:
    """Whether the body's bytes are others than those of what it stands for; chunks are the transport's."""
    content, transfer = (answer.headers.get(name, "").lower() for name in ("Content-Encoding", "Transfer-Encoding"))
    return content not in {"", "identity"} or transfer not in {"", "identity", "chunked"}


def _decoder(as_: type[T], max_bytes: int) -> _Use[T]:
    async def decode(answer: Answer, held: ExitStack) -> T:
        body = b"".join([piece async for piece in _bounded(answer, max_bytes)])
        if as_ is type(None):
            return None
        try:
            return msgspec.json.decode(body, type=as_)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise unusable("it is not the JSON that was expected") from None

    return decode


async def _bounded(answer: Answer, max_bytes: int) -> AsyncIterator[bytes]:
    received_bytes = 0
    async for piece in answer.pieces():
        received_bytes += len(piece)
        if received_bytes > max_bytes:
            raise TooLarge(f"The mail server's answer is larger than {max_bytes} bytes.", upstream_status=502)
        yield piece


async def _read_some(answer: Answer, max_bytes: int) -> bytes:
    """The beginning of a body that only explains a failure: whatever can be had of it."""
    parts: list[bytes] = []
    received_bytes = 0
    try:
        async for piece in answer.pieces():
            parts.append(piece)
            received_bytes += len(piece)
            if received_bytes > max_bytes:
                break
    except Broken:
        pass
    return b"".join(parts)
