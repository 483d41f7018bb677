"""Two gateway processes over one data folder and one Redis: they count together, also when Redis goes and comes back.

Ten thousand mixed calls come from fifty connections. The suite watches one minute; SATCHEL_TEST_LIMIT_MINUTES watches
more of them, with that many calls spread over each.
"""

import asyncio
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import requests

from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.contract.scopes import Scope
from satchel.gateway.store.database import open_database
from satchel.gateway.store.keys import create_key, revoke_key
from satchel.testing.mail import deliver, message_with_files
from tests.e2e.gateway_process import MAILBOX, Gateway, gateway
from tests.e2e.observe import rows, until
from tests.redis_server import RedisServer, redis_server

pytestmark = [pytest.mark.service, pytest.mark.timeout(600)]

LIMIT = 1000
TOLERANCE = LIMIT // 100
CALLS = 10_000
CONNECTIONS = 50
MINUTES = int(os.environ.get("SATCHEL_TEST_LIMIT_MINUTES", "1"))


@dataclass(frozen=True)
class Call:
    """One call of the mix, by a key that may make it or by one without the scope."""

    method: str
    path: str
    key: str


@dataclass(frozen=True)
class Seen:
    """What became of a call; the gateway judged it between the two instants."""

    begun: float
    ended: float
    status: int
    retry_after: str | None

    @property
    def is_admitted(self) -> bool:
        return self.status != 429


@contextmanager
def two_processes(folder: Path, redis: RedisServer, limit: int) -> Iterator[tuple[Gateway, Gateway, str]]:
    """A gateway, an API alone beside it, and the id of a message that both know."""
    settings = {"rate_limit_per_minute": limit, "limits.redis_url": redis.url}
    with gateway(folder, further=settings) as full:
        deliver(full.maildir, message_with_files(1, 1, 20_000))
        full.start()
        beside = Gateway(folder, key=full.key, options=("--api-only",), log_name="log-api-only")
        try:
            beside.start()
            database = folder / "data" / "gateway.db"
            message_id = until(lambda: rows(database, "SELECT message_id FROM messages"), "the message")[0][0]
            yield full, beside, message_id
        finally:
            if beside.process is not None:
                beside.end(signal.SIGKILL)


def new_key(folder: Path, *scopes: Scope) -> tuple[str, str]:
    """A key of the same account, and its id."""
    engine = open_database(folder / "data")
    try:
        expires_at = datetime.now(UTC) + timedelta(days=1)
        key, row = create_key(engine, "more", scopes=scopes, mailboxes=[MAILBOX], expires_at=expires_at)
    finally:
        engine.dispose()
    return key, row.key_id


def revoke(folder: Path, key_id: str) -> None:
    engine = open_database(folder / "data")
    try:
        revoke_key(engine, key_id)
    finally:
        engine.dispose()


def get(process: Gateway, path: str, key: str | None = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {key or process.key}"}
    return requests.get(process.url + path, headers=headers, timeout=30)


async def make_calls(urls: Sequence[str], mix: Sequence[Call], count: int, per_second: float | None) -> list[Seen]:
    """Make calls from fifty connections, in turn to each process; as fast as they go unless they are paced."""
    numbers = iter(range(count))
    seen: list[Seen] = []
    started = time.monotonic()

    async def worker(session: aiohttp.ClientSession, url: str) -> None:
        for number in numbers:
            if per_second is not None:
                await asyncio.sleep(max(0.0, started + number / per_second - time.monotonic()))
            call = mix[number % len(mix)]
            begun = time.monotonic()
            headers = {"Authorization": f"Bearer {call.key}"}
            async with session.request(call.method, url + call.path, headers=headers) as answer:
                await answer.read()
            seen.append(Seen(begun, time.monotonic(), answer.status, answer.headers.get("retry-after")))

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:
        for _, url in zip(range(CONNECTIONS), itertools.cycle(urls), strict=False):
            tasks.create_task(worker(session, url))
    return seen


def most_in_a_minute(admitted: Sequence[Seen]) -> int:
    """The most calls that were admitted, for certain, within some 60 seconds."""
    by_end = sorted(admitted, key=lambda one: one.ended)
    most = 0
    for first in by_end:
        within = (one for one in by_end if first.begun <= one.begun and one.ended <= first.begun + 60)
        most = max(most, sum(1 for _ in within))
    return most


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def test_ten_thousand_calls_on_two_processes(tmp_path: Path, redis: RedisServer) -> None:
    with two_processes(tmp_path / "gateway", redis, LIMIT) as (full, beside, message_id):
        listing = LIST_ATTACHMENTS.url(message_id=message_id)
        attachment_id = get(full, listing).json()["attachments"][0]["id"]
        download = DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=attachment_id)
        powerless, _ = new_key(full.folder, Scope.REPORTING)
        mix = [
            Call("GET", listing, full.key),
            Call("GET", download, full.key),
            Call("HEAD", download, full.key),
            Call("GET", LIST_ATTACHMENTS.url(message_id="unknown"), full.key),
            Call("GET", listing, powerless),
        ]
        pace = None if MINUTES == 1 else CALLS / 60
        seen = asyncio.run(make_calls([full.url, beside.url], mix, CALLS * MINUTES, pace))

        by_status = Counter(one.status for one in seen)
        print(dict(by_status), f"{max(one.ended for one in seen) - min(one.begun for one in seen):.1f} s")
        assert set(by_status) == {200, 403, 404, 429}
        assert all(
            one.retry_after is not None and 1 <= int(one.retry_after) <= 61 for one in seen if not one.is_admitted
        )
        admitted = [one for one in seen if one.is_admitted]
        assert most_in_a_minute(admitted) <= LIMIT + TOLERANCE
        # One more was the call that found the attachment.
        assert len(admitted) + 1 >= LIMIT * MINUTES - TOLERANCE

        # While it waits, what needs no budget: a revoked key is refused by both with its next call.
        refused = get(beside, listing)
        waited_from = time.monotonic()
        key, key_id = new_key(full.folder, Scope.MESSAGES_READ)
        assert [get(process, listing, key).status_code != 401 for process in (full, beside)] == [True, True]
        revoke(full.folder, key_id)
        assert [get(process, listing, key).status_code for process in (full, beside)] == [401, 401]

        if refused.status_code == 429:
            wait_seconds = int(refused.headers["retry-after"])
            time.sleep(max(0.0, waited_from + wait_seconds - time.monotonic()))
        assert get(full, listing).status_code == 200


def count_admitted(processes: Sequence[Gateway], path: str, calls: int) -> list[int]:
    """Call each process in turn; how many of the calls each admitted. Nothing but 200 and 429 is answered."""
    admitted = [0] * len(processes)
    for number in range(calls):
        answer = get(processes[number % len(processes)], path)
        assert answer.status_code in {200, 429}
        admitted[number % len(processes)] += answer.status_code == 200
    return admitted


def redis_is_seen(process: Gateway) -> bool:
    """What `/readyz` says of Redis; the process is ready in either case."""
    answer = requests.get(f"{process.url}/readyz", timeout=30)
    assert answer.status_code == 200
    return bool(answer.json()["checks"]["redis"])


def test_redis_goes_and_comes_back(tmp_path: Path) -> None:
    limit = 40
    with redis_server() as redis, two_processes(tmp_path / "gateway", redis, limit) as (full, beside, message_id):
        both = [full, beside]
        listing = LIST_ATTACHMENTS.url(message_id=message_id)
        assert sum(count_admitted(both, listing, limit + 10)) == limit
        assert all(map(redis_is_seen, both))

        async def calls_while_redis_is_killed() -> list[Seen]:
            urls, mix = [full.url, beside.url], [Call("GET", listing, full.key)]
            calls = asyncio.create_task(make_calls(urls, mix, 400, None))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(redis.kill)
            return await calls

        seen = asyncio.run(calls_while_redis_is_killed())
        assert {one.status for one in seen} <= {200, 429}
        # Each counts by itself now, from nothing.
        count_admitted(both, listing, 2 * limit + 10)
        assert [get(process, listing).status_code for process in both] == [429, 429]
        assert not any(map(redis_is_seen, both))

        redis.start()
        until(lambda: all(map(redis_is_seen, both)), "Redis, by both processes")
        assert sum(count_admitted(both, listing, limit + 10)) == limit
        for process in both:
            assert process.log.count('"redis_lost"') == process.log.count('"redis_found_again"') == 1


def test_an_api_alone_takes_no_lock_and_stops_as_asked(tmp_path: Path, redis: RedisServer) -> None:
    with two_processes(tmp_path / "gateway", redis, 0) as (full, beside, message_id):
        listing = LIST_ATTACHMENTS.url(message_id=message_id)
        assert get(full, listing).json() == get(beside, listing).json()
        assert "intake" not in requests.get(f"{beside.url}/readyz", timeout=30).json()["checks"]
        assert full.end(signal.SIGTERM) == 0
        assert get(beside, listing).status_code == 200
        full.start()
        assert beside.end(signal.SIGTERM) == 0
