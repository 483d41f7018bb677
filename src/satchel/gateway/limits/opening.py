"""Puts the limits together by the settings: in memory, or in the Redis that all gateways share."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from satchel.gateway.limits.downloads import Downloads
from satchel.gateway.limits.rates import AccountRates, FailedKeys, Limits
from satchel.gateway.limits.redis_window import RedisCounts, SharedWindow, open_pool
from satchel.gateway.limits.windows import MemoryWindow
from satchel.gateway.settings import LimitSettings
from satchel.settings import SettingsError

Checks = Callable[[], dict[str, bool]]


@asynccontextmanager
async def open_limits(
    settings: LimitSettings, calls_per_minute: Mapping[str, int]
) -> AsyncIterator[tuple[Limits, Checks]]:
    """The limits, and what `/readyz` says of them. `calls_per_minute` are the accounts' rates by their ids.

    Raises SettingsError for a URL that cannot be one of Redis.
    """
    downloads = Downloads(per_key=settings.downloads_per_key, in_all=settings.downloads)
    archives = Downloads(per_key=settings.archives_per_key, in_all=settings.archives)
    counts = _redis(settings)
    if counts is None:
        rates = AccountRates(MemoryWindow(), calls_per_minute.__getitem__)
        failed_keys = FailedKeys(MemoryWindow(), settings.failed_keys_per_minute)
        yield Limits(rates, failed_keys, downloads, archives), dict
        return
    try:
        await counts.look()
        rates = AccountRates(SharedWindow(counts, "account", MemoryWindow()), calls_per_minute.__getitem__)
        shared = SharedWindow(counts, "failed-keys", MemoryWindow())
        failed_keys = FailedKeys(shared, settings.failed_keys_per_minute)
        yield Limits(rates, failed_keys, downloads, archives), lambda: {"redis": counts.is_answering}
    finally:
        await counts.close()


def _redis(settings: LimitSettings) -> RedisCounts | None:
    url = settings.redis_url
    if url is None:
        return None
    try:
        return RedisCounts(open_pool(url.get_secret_value()))
    except ValueError as error:
        # Never the URL itself, which may hold a password.
        raise SettingsError(f"[gateway] limits.redis_url: {error}.") from None
