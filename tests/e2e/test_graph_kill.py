"""`kill -9` of the gateway at random moments while mail arrives in Microsoft 365 and notifications go astray.

KILL_SEED replays; KILL_GATEWAY sets another number of kills.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from satchel.gateway.store.database import open_database
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.gateway.webhooks.egress import EgressPolicy
from satchel.testing.graph import Faults, chance
from satchel.testing.stack import free_port
from tests.e2e.gateway_process import LOOPBACK, MAILBOX, Gateway, gateway, receiver
from tests.e2e.graph_thread import GraphThread, graph_thread
from tests.e2e.observe import rows, until

KILLS = int(os.environ.get("KILL_GATEWAY", "10"))
SEED = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
# Only a busy machine comes near it.
PATIENCE_SECONDS = 120
FAULTS = Faults(
    lose_notification=chance(0.2),
    missed_after_loss=chance(0.5),
    duplicate_notification=chance(0.3),
    delay_notification=chance(0.5),
    notification_delay_seconds=1.0,
    unknown_for_seconds=0.3,
    throttle=chance(0.01),
    unavailable=chance(0.02),
)


@pytest.mark.timeout(300)
def test_every_message_has_one_delivery_for_each_webhook_and_reaches_it(tmp_path: Path) -> None:
    print(f"KILL_SEED={SEED}")
    dice = random.Random(SEED)
    port = free_port()
    with graph_thread(MAILBOX, seed=SEED) as graph, receiver() as hook, receiver() as second:
        hook.is_moody = True
        old = {graph.put(MAILBOX, number) for number in range(1000, 1030)}
        further = graph.gateway_settings(
            MAILBOX, notification_url=f"http://127.0.0.1:{port}", catch_up_seconds=1.0, poll_seconds=1.0
        )
        with gateway(tmp_path / "gateway", hook.url, further | {"listen_port": port}) as running:
            add_second_webhook(running.folder, second.url)
            running.start()
            graph.simulator.faults = FAULTS
            with feeding(graph) as arrived:
                for _ in range(KILLS):
                    live_a_while(running, dice)
                    running.end(signal.SIGKILL)
                    running.process = running.spawn()
            database = running.folder / "data" / "gateway.db"
            until(
                lambda: (
                    rows(database, "SELECT status, count(*) FROM deliveries GROUP BY 1")
                    == [("delivered", 2 * len(arrived))]
                ),
                "every message delivered to both",
                timeout_seconds=PATIENCE_SECONDS,
            )
            records = rows(
                database,
                "SELECT m.message_id, d.id, d.webhook_id FROM deliveries d JOIN messages m ON m.id = d.message_row_id",
            )
    posts = [len(hook.ids), len(second.ids)]
    print(f"{KILLS} kills, {len(arrived)} messages, {len(records)} deliveries to two webhooks, POSTs to each: {posts}")
    assert Counter(message_id for message_id, _, _ in records) == dict.fromkeys(arrived, 2)
    assert len({(message_id, webhook) for message_id, _, webhook in records}) == 2 * len(arrived)
    assert not old & {message_id for message_id, _, _ in records}
    for each in (hook, second):
        assert set(each.accepted) == set(arrived)
        # However often it was posted, it carried one delivery id: that in the records.
        assert {len(ids) for ids in each.webhook_ids.values()} == {1}
    posted = {(message_id, *ids) for each in (hook, second) for message_id, ids in each.webhook_ids.items()}
    assert posted == {(message_id, delivery_id) for message_id, delivery_id, _ in records}


def live_a_while(running: Gateway, dice: random.Random) -> None:
    """To a random moment: some of a start, most of them of a gateway at work."""
    if dice.random() < 0.7:
        until(lambda: '"listening"' in running.log, "the start of the gateway", timeout_seconds=PATIENCE_SECONDS)
    time.sleep(dice.uniform(0.0, 0.6))


@contextmanager
def feeding(graph: GraphThread) -> Iterator[list[str]]:
    """Mail that comes in all the time; the ids of what has come."""
    arrived: list[str] = []
    enough = threading.Event()

    def feed() -> None:
        while not enough.wait(0.2):
            arrived.append(graph.put(MAILBOX, len(arrived)))

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield arrived
    finally:
        enough.set()
        feeder.join()


def add_second_webhook(folder: Path, url: str) -> None:
    engine = open_database(folder / "data")
    add_webhook(
        engine, NewWebhook("second", url, [MAILBOX]), policy=EgressPolicy(allow_http=True, allowed_networks=LOOPBACK)
    )
    engine.dispose()
