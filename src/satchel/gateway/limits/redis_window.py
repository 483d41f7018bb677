"""Moving windows counted in Redis or Valkey, so that all gateways over one of them count together.

While it does not answer, each process counts on in its own memory and no call waits for it.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast
from urllib.parse import urlsplit

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage.redis.bridge import RedisBridge
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from satchel.gateway.limits.windows import WINDOW_SECONDS, Taken, Window

_PREFIX = "satchel"
_MAX_CONNECTIONS = 32
_SOCKET_SECONDS = 0.5
# Also what waiting for a connection may take, and a second try on a new one.
_CALL_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 3.0
# Who waits as told must be admitted: the library's scripts round instants to a tenth of a millisecond, and count a
# call of exactly a minute ago.
_MARGIN_SECONDS = 0.001
_ADVICE = (
    "found a value that is not shown; write redis://host:6379/0, rediss://user:password@host:6379/0 or "
    "unix:///run/redis/redis.sock, with what is special in a password percent-encoded"
)
# Valkey speaks the same protocol.
_SCHEMES = {"valkey": "redis", "valkeys": "rediss"}

log = structlog.get_logger(__name__)


def open_pool(url: str) -> BlockingConnectionPool:
    """Connections to a Redis or Valkey; none is made yet.

    Raises ValueError for a URL that cannot be one; it never repeats the URL, which may hold a password.
    """
    try:
        pool = _pool(url)
        # Only made, not opened: it knows its options.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, RedisError):
        raise ValueError(_ADVICE) from None
    return pool


def _pool(url: str) -> BlockingConnectionPool:
    scheme, separator, rest = url.partition("://")
    parts = urlsplit(url)
    if not (parts.path if scheme == "unix" else parts.hostname):
        raise ValueError(_ADVICE)
    return BlockingConnectionPool.from_url(
        _SCHEMES.get(scheme, scheme) + separator + rest,
        max_connections=_MAX_CONNECTIONS,
        timeout=_SOCKET_SECONDS,
        socket_timeout=_SOCKET_SECONDS,
        socket_connect_timeout=_SOCKET_SECONDS,
        # Once, for a connection that has gone stale in the pool.
        retry=Retry(NoBackoff(), 1),
    )


class RedisCounts:
    """The counts in one Redis, and whether it answers. `close` it."""

    def __init__(
        self,
        pool: BlockingConnectionPool,
        *,
        clock: Callable[[], float] = time.time,
        look_again_seconds: float = _LOOK_AGAIN_SECONDS,
    ) -> None:
        self._client = Redis(connection_pool=pool)
        self._clock = clock
        self._look_again_seconds = look_again_seconds
        self._acquire = self._client.register_script(RedisBridge.SCRIPT_ACQUIRE_MOVING_WINDOW)
        self._measure = self._client.register_script(RedisBridge.SCRIPT_MOVING_WINDOW)
        self._looking_again: asyncio.Task[None] | None = None

    @property
    def is_answering(self) -> bool:
        """False from a failure until Redis has answered again."""
        return self._looking_again is None

    async def look(self) -> None:
        """Ask Redis for a sign of life, so that its absence is known before the first call."""
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                await self._client.ping()
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)

    async def take(self, namespace: str, name: str, limit: int, cost: int = 1) -> Taken | None:
        """As `Window.take`, in one round trip; None while Redis does not answer."""
        if not self.is_answering:
            return None
        key = f"{_PREFIX}:{RateLimitItemPerMinute(limit, namespace=namespace).key_for(name)}"
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                return await self._take(key, limit, cost)
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
            return None

    async def _take(self, key: str, limit: int, cost: int) -> Taken:
        now = self._clock()
        try:
            acquired, window = await self._run_scripts(key, now, limit, cost)
        except NoScriptError:
            # A Redis that was started anew knows no scripts. The one that counts comes last: where it is, both are.
            for script in (self._measure, self._acquire):
                await self._client.script_load(script.script)
            acquired, window = await self._run_scripts(key, now, limit, cost)
        if not window:
            return Taken(bool(acquired), limit, 0.0)
        oldest, count = float(window[0]), int(window[1])
        reset_seconds = max(0.0, oldest + WINDOW_SECONDS - now)
        if not acquired:
            reset_seconds += _MARGIN_SECONDS
        return Taken(bool(acquired), max(0, limit - count), reset_seconds)

    async def _run_scripts(
        self, key: str, now: float, limit: int, cost: int
    ) -> tuple[int | None, tuple[bytes, int] | None]:
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.evalsha(self._acquire.sha, 1, key, repr(now), limit, WINDOW_SECONDS, cost)
            pipeline.evalsha(self._measure.sha, 1, key, repr(now - WINDOW_SECONDS), limit)
            return cast("tuple[int | None, tuple[bytes, int] | None]", tuple(await pipeline.execute()))

    def _lost(self, error: Exception) -> None:
        if self._looking_again is None:
            log.warning("redis_lost", error=type(error).__name__)
            self._looking_again = asyncio.create_task(self._look_again())

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(self._look_again_seconds)
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(_CALL_SECONDS):
                    await self._client.ping()
                self._looking_again = None
                log.info("redis_found_again")
                return

    async def close(self) -> None:
        """Stop looking and let go of the connections."""
        if self._looking_again is not None:
            self._looking_again.cancel()
            await asyncio.wait({self._looking_again})
        with suppress(RedisError, OSError):
            await self._client.aclose(close_connection_pool=True)


class SharedWindow:
    """A window in Redis, with one in memory behind it for as long as Redis does not answer."""

    def __init__(self, counts: RedisCounts, namespace: str, own: Window) -> None:
        self._counts = counts
        self._namespace = namespace
        self._own = own

    async def take(self, name: str, limit: int, cost: int = 1) -> Taken:
        taken = await self._counts.take(self._namespace, name, limit, cost)
        return taken if taken is not None else await self._own.take(name, limit, cost)
