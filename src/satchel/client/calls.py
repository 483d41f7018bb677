"""One server and its calls: signed, retried as the policy says, their failures told apart. Knows no route's meaning."""

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from satchel.client.errors import ClientError, ConfigurationError, UnexpectedAnswer
from satchel.client.retry import Failure, RetryDecision, RetryIn, RetryPolicy
from satchel.client.target import Target
from satchel.client.transport import Answer, Timeouts, Transport
from satchel.contract.errors import ApiError, decode_error
from satchel.contract.headers import RateLimitState, parse_rate_limit, parse_retry_after

# The standard library's: the program that embeds the SDK decides where this goes.
log = logging.getLogger(__name__)

# A server that only begins a report may say so.
_WITH_ANSWER = frozenset({200, 201, 202})
_MAX_JSON_BYTES = 64 * 1024 * 1024
_MAX_ERROR_BYTES = 64 * 1024

Result = TypeVar("Result")
Decide = Callable[[Failure, int, float], RetryDecision]
# A body, and how long its server wants to be left alone, where it said so.
Decode = Callable[[bytes, float | None], Result]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Ambience:
    """Time and randomness, so that tests need neither."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    now: Callable[[], datetime] = _now


REAL = Ambience()


class Calls:
    """The calls to one server. Open it before the first, close it after the last."""

    def __init__(
        self,
        target: Target,
        timeouts: Timeouts,
        retry: RetryPolicy,
        ssl_context: ssl.SSLContext | None,
        ambience: Ambience,
    ) -> None:
        self.target = target
        self.ambience = ambience
        self.rate_limit: RateLimitState | None = None
        """The account's budget by the last answer that told it; None where the server does not tell."""
        self._timeouts = timeouts
        self._retry = retry
        self._ssl_context = ssl_context
        self._transport: Transport | None = None

    async def open(self) -> None:
        self._transport = Transport(self._timeouts, self._ssl_context)

    async def aclose(self) -> None:
        """Close all connections. May be called twice."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    async def read(self, url: str, decode: Decode[Result], what: str) -> Result:
        """What `decode` makes of a whole answer to a GET; it raises ValueError for what is no `what`."""
        return await self.retrying(lambda: self._read_once(url, None, decode, what))

    async def begin(self, url: str, body: bytes, decode: Decode[Result], what: str) -> Result:
        """The same of the answer to a POST that begins a report."""
        return await self.retrying(lambda: self._read_once(url, body, decode, what), self._retry.decide_begin)

    @asynccontextmanager
    async def send(
        self, url: str, *, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> AsyncIterator[Answer]:
        """A GET, or with a body a POST of JSON. Raises what the answer says, or that there is none."""
        if self._transport is None:
            raise ConfigurationError("The client is not open. Use it with `async with AsyncClient(...) as client:`.")
        sent = {**(headers or {}), "Authorization": self.target.authorization()}
        if body is not None:
            sent["Content-Type"] = "application/json"
        async with self._transport.send("GET" if body is None else "POST", url, sent, body) as answer:
            limit = parse_rate_limit(answer.header("RateLimit-Policy"), answer.header("RateLimit"))
            self.rate_limit = limit if limit is not None else self.rate_limit
            if answer.status >= 400:
                explanation = await answer.read_some(_MAX_ERROR_BYTES)
                raise decode_error(answer.status, explanation, retry_after_seconds=self._retry_after(answer))
            if 300 <= answer.status < 400:
                raise UnexpectedAnswer(
                    f"The server redirects (HTTP {answer.status}), and keys are not sent elsewhere. "
                    "Use the base URL of the API itself.",
                    status=answer.status,
                )
            yield answer

    async def retrying(self, once: Callable[[], Awaitable[Result]], decide: Decide | None = None) -> Result:
        """The result of a call that is made again as the policy says, or as `decide` does."""
        attempt = 1
        while True:
            try:
                return await once()
            except (ApiError, ClientError) as failure:
                if not await self.before_retry(failure, attempt, decide):
                    raise
            attempt += 1

    async def before_retry(self, failure: ApiError | ClientError, attempt: int, decide: Decide | None = None) -> bool:
        """Wait as the policy says and return True, or return False where the failure is final."""
        decision = (decide or self._retry.decide)(failure, attempt, self.ambience.random())
        if not isinstance(decision, RetryIn):
            return False
        log.info("call retried in %.1f s, attempt %d: %s", decision.wait_seconds, attempt, type(failure).__name__)
        await self.ambience.sleep(decision.wait_seconds)
        return True

    async def _read_once(self, url: str, body: bytes | None, decode: Decode[Result], what: str) -> Result:
        async with self.send(url, body=body) as answer:
            if answer.status not in _WITH_ANSWER:
                raise UnexpectedAnswer(f"The server answered HTTP {answer.status}, no {what}.", status=answer.status)
            content = await answer.read(_MAX_JSON_BYTES)
            try:
                return decode(content, self._retry_after(answer))
            except ValueError:
                kind = "an HTML page" if "html" in (answer.header("Content-Type") or "").lower() else f"no {what}"
                raise UnexpectedAnswer(
                    f"The answer (HTTP {answer.status}) is {kind}. "
                    "Does the base URL lead to the API, or to a portal or a proxy?",
                    status=answer.status,
                ) from None

    def _retry_after(self, answer: Answer) -> float | None:
        return parse_retry_after(answer.header("Retry-After"), self.ambience.now())
