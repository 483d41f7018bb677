"""kill -9 of the collector: nothing acknowledged is lost, everything is stored once, no temporary stays.

The long version: SATCHEL_TEST_COLLECTOR_KILLS=20 SATCHEL_TEST_COLLECTOR_ATTACHMENTS=200
SATCHEL_TEST_COLLECTOR_ACKNOWLEDGED=200.
"""

import asyncio
import hashlib
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from satchel.testing.content import Generated, sha256
from satchel.testing.gateway import FakeGateway
from tests.e2e.collector_process import CollectorProcess

KILLS = int(os.environ.get("SATCHEL_TEST_COLLECTOR_KILLS", "3"))
ATTACHMENTS = int(os.environ.get("SATCHEL_TEST_COLLECTOR_ATTACHMENTS", "40"))
ACKNOWLEDGED = int(os.environ.get("SATCHEL_TEST_COLLECTOR_ACKNOWLEDGED", "3"))
PER_MESSAGE = 4

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[CollectorProcess]:
    process = CollectorProcess(tmp_path, "")
    yield process
    process.end(signal.SIGKILL)


async def test_killed_while_attachments_flow(collector: CollectorProcess) -> None:
    chance = random.Random(7)
    async with FakeGateway() as gateway:
        gateway.behaviour.latency_seconds = 0.02
        collector.gateway_url = gateway.url
        expected: list[str] = []
        messages = [f"message-{number}" for number in range(ATTACHMENTS // PER_MESSAGE)]
        for number, message in enumerate(messages):
            for part in range(PER_MESSAGE):
                content = Generated(chance.randrange(1, 3_000_000), seed=number * PER_MESSAGE + part)
                gateway.add(message, "same name.pdf", content)
                expected.append(sha256(content))
        await asyncio.to_thread(collector.start)
        for message in messages:
            status, body = await asyncio.to_thread(collector.announce, message)
            assert (status, b'"success"' in body) == (200, True)
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.05, 0.5))
            await asyncio.to_thread(collector.end, signal.SIGKILL)
            await asyncio.to_thread(collector.start)
        await asyncio.to_thread(collector.until_settled, len(messages), timeout_seconds=300)
        ended = await asyncio.to_thread(collector.end, signal.SIGTERM)
    assert ended == 0
    assert Counter(status for (status,) in collector.rows("SELECT status FROM attachments")) == {"stored": ATTACHMENTS}
    assert Counter(digest for (digest,) in collector.rows("SELECT sha256 FROM attachments")) == Counter(expected)
    assert Counter(_digest(path) for path in collector.stored()) == Counter(expected)
    assert collector.temporaries() == []


async def test_killed_right_after_the_answer(collector: CollectorProcess) -> None:
    async with FakeGateway() as gateway:
        collector.gateway_url = gateway.url
        for number in range(ACKNOWLEDGED):
            gateway.add(f"message-{number}", "a.txt", b"%d" % number)
            await asyncio.to_thread(collector.start)
            status, _ = await asyncio.to_thread(collector.announce, f"message-{number}")
            await asyncio.to_thread(collector.end, signal.SIGKILL)
            assert status == 200
        await asyncio.to_thread(collector.start)
        await asyncio.to_thread(collector.until_settled, ACKNOWLEDGED)
    stored = collector.rows("SELECT message_id FROM attachments WHERE status = 'stored'")
    assert {message for (message,) in stored} == {f"message-{number}" for number in range(ACKNOWLEDGED)}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
