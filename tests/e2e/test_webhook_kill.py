"""`kill -9` of the gateway at random moments while messages arrive and two webhooks are told of them.

The suite runs a small version; SATCHEL_TEST_WEBHOOK_ARRIVALS and SATCHEL_TEST_WEBHOOK_KILLS set another size,
SATCHEL_TEST_WEBHOOK_SEED replays one.
"""

import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from satchel.gateway.store.database import open_database
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.gateway.webhooks.egress import EgressPolicy
from satchel.testing.mail import deliver, message
from tests.e2e.gateway_process import LOOPBACK, MAILBOX, MASTER_KEY, Gateway, gateway
from tests.e2e.http_double import serving
from tests.e2e.observe import until

ARRIVALS = int(os.environ.get("SATCHEL_TEST_WEBHOOK_ARRIVALS", "200"))
KILLS = int(os.environ.get("SATCHEL_TEST_WEBHOOK_KILLS", "3"))
SEED = int(os.environ.get("SATCHEL_TEST_WEBHOOK_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
WEBHOOKS = ("first", "second")
# Fewer than a delivery has attempts: what is refused is delivered all the same.
MOST_REFUSALS = 2


class Told:
    """What a webhook was told: every POST, and in their order those that were answered with success."""

    def __init__(self, chance: random.Random) -> None:
        self.bodies: defaultdict[str, set[tuple[str, bytes]]] = defaultdict(set)
        self.posts: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.succeeded: list[str] = []
        self._chance = chance
        self._lock = threading.Lock()

    def take(self, body: bytes, webhook_id: str) -> tuple[int, float]:
        """The status and how long it takes."""
        message_id = json.loads(body)["id"]
        with self._lock:
            self.bodies[message_id].add((webhook_id, body))
            self.posts[message_id] += 1
            seconds = 0.1 if self._chance.random() < 0.02 else self._chance.uniform(0.0, 0.01)
            if self._chance.random() < 0.05 and self.refusals[message_id] < MOST_REFUSALS:
                self.refusals[message_id] += 1
                return self._chance.choice((500, 503)), seconds
            self.succeeded.append(message_id)
            return 200, seconds

    @property
    def repeats(self) -> int:
        """POSTs beyond the one that a message needs, and those that were refused."""
        return self.posts.total() - len(self.posts) - self.refusals.total()


@contextmanager
def receivers(chance: random.Random) -> Iterator[tuple[str, dict[str, Told]]]:
    told = {name: Told(random.Random(chance.random())) for name in WEBHOOKS}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, seconds = told[self.path.strip("/")].take(body, self.headers["webhook-id"])
            time.sleep(seconds)
            # The one who asked may have been killed meanwhile.
            with suppress(ConnectionError):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b'{"status": "success", "message": ""}')

        def log_message(self, *args: object) -> None:
            pass

    with serving(Handler) as url:
        yield url, told


def query(running: Gateway, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(running.folder / "data" / "gateway.db")) as connection:
        return connection.execute(sql).fetchall()


def add_webhooks(running: Gateway, url: str) -> None:
    policy = EgressPolicy(allow_http=True, allowed_networks=LOOPBACK)
    engine = open_database(running.folder / "data")
    for name in WEBHOOKS:
        new = NewWebhook(name, f"{url}/{name}", [MAILBOX], secret="s" * 16)
        add_webhook(engine, new, policy=policy, master_key=MASTER_KEY)
    engine.dispose()


def arrive(running: Gateway, pause_seconds: float) -> threading.Thread:
    def put() -> None:
        for number in range(ARRIVALS):
            deliver(running.maildir, message(f"m{number:05}", f"Message {number}", []))
            time.sleep(pause_seconds)

    arriving = threading.Thread(target=put)
    arriving.start()
    return arriving


def kill_at_random(running: Gateway, chance: random.Random) -> None:
    """Also while it starts: what an earlier kill has left is just being taken up then."""
    time.sleep(chance.uniform(0.1, 1.0))
    for _ in range(KILLS):
        running.end(signal.SIGKILL)
        if chance.random() < 0.3:
            running.process = running.spawn()
            time.sleep(chance.uniform(0.8, 2.2))
        else:
            running.start()
            time.sleep(chance.uniform(0.1, 1.0))


@pytest.mark.timeout(1200)
def test_each_webhook_is_told_of_each_message_in_order(tmp_path: Path) -> None:
    print(f"SATCHEL_TEST_WEBHOOK_SEED={SEED}")
    chance = random.Random(SEED)
    settings = {"webhooks.retry_seconds": [0.02, 0.05], "folder.rescan_seconds": 1}
    with receivers(chance) as (url, told), gateway(tmp_path / "gateway", None, settings) as running:
        add_webhooks(running, url)
        running.start()
        arriving = arrive(running, pause_seconds=min(0.02, 3.0 * KILLS / ARRIVALS))
        kill_at_random(running, chance)
        arriving.join()
        done = [("delivered", 2 * ARRIVALS)]
        counts = "SELECT status, count(*) FROM deliveries GROUP BY status"
        until(lambda: query(running, counts) == done, "every delivery", timeout_seconds=600)
        index = query(running, "SELECT message_id FROM messages ORDER BY id")
        attempts = query(
            running,
            "SELECT webhooks.name, messages.message_id, deliveries.id, count(*), sum(error IS 'interrupted') "
            "FROM deliveries JOIN webhooks ON webhooks.id = webhook_id JOIN messages ON messages.id = message_row_id "
            "JOIN delivery_attempts ON delivery_id = deliveries.id GROUP BY deliveries.id",
        )
    in_order = [message_id for (message_id,) in index]
    assert len(in_order) == ARRIVALS
    for name in WEBHOOKS:
        seen = told[name]
        assert list(dict.fromkeys(seen.succeeded)) == in_order
        # Whatever was sent again was the same, under the same id, which is the delivery's.
        ids = {message_id: [delivery_id] for hook, message_id, delivery_id, *_ in attempts if hook == name}
        assert {each: [webhook_id for webhook_id, _ in sent] for each, sent in seen.bodies.items()} == ids
    # Each POST was written down before it was made. Nothing else counts as an attempt.
    for hook, message_id, _, count, _ in attempts:
        assert told[hook].posts[message_id] <= count
    for name, seen in told.items():
        counted = f"{len(seen.posts)} messages, {seen.posts.total()} POSTs, {seen.refusals.total()} refused"
        print(f"{name}: {counted}, {seen.repeats} repeated for a kill")
    print(f"{sum(count for *_, count, _ in attempts)} attempts, {sum(cut for *_, cut in attempts)} interrupted")
