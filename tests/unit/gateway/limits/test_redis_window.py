"""Which URLs of a Redis are taken; how it is counted with is in the contract tests."""

import pytest
from pydantic import SecretStr

from satchel.gateway.limits.opening import open_limits
from satchel.gateway.limits.redis_window import open_pool
from satchel.gateway.settings import LimitSettings
from satchel.settings import SettingsError


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://127.0.0.1:6379/3",
        "redis://:p%40ss@cache.example:6380",
        "rediss://user:pass@cache.example/0",
        "valkey://cache.example:6379",
        "valkeys://cache.example:6379",
        "redis://[::1]:6379",
        "unix:///run/redis/redis.sock?db=1",
    ],
)
def test_urls_that_are_taken(url: str) -> None:
    assert open_pool(url).max_connections


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cache.example:6379",
        "http://cache.example",
        "redis://",
        "unix://",
        "redis://:secret/word@cache.example",
        "redis://cache.example:99999",
        "redis://cache.example:port",
        "redis://cache.example?secretoption=1",
        "redis://cache.example?socket_timeout=secret",
        "redis://[::1",
    ],
)
async def test_other_urls_are_settings_that_cannot_be_used_and_are_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match=r"\[gateway\] limits\.redis_url: .*write redis://") as refused:
        async with open_limits(LimitSettings(redis_url=SecretStr(url)), {}):
            pass
    assert "secret" not in str(refused.value)
