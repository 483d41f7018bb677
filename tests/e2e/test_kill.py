"""`kill -9` at random moments while attachments flow from a mail folder through gateway and collector to disk.

The suite runs a moderate version; KILL_MESSAGES, KILL_COLLECTOR and KILL_GATEWAY set another size, KILL_SEED replays.
"""

import os
import random
import time
from collections import Counter

import pytest

from satchel.testing.mail import deliver, message_with_files
from satchel.testing.stack import Stack
from tests.e2e.observe import baseline_done, gateway_rows, ledger, stored_count, stored_files, temporaries, until

FILES = 5
SIZE = 200_000
MESSAGES = int(os.environ.get("KILL_MESSAGES", "12"))
COLLECTOR_KILLS = int(os.environ.get("KILL_COLLECTOR", "4"))
GATEWAY_KILLS = int(os.environ.get("KILL_GATEWAY", "2"))
SEED = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)


@pytest.mark.timeout(1200)
def test_everything_is_stored_once(stack: Stack) -> None:
    chance = random.Random(SEED)
    print(f"KILL_SEED={SEED}")
    stack.configure(gateway={"webhooks.sweep_seconds": 1}, collector={"concurrency": 4, "sweep_seconds": 1})
    stack.start("gateway")
    stack.start("collector")
    baseline_done(stack)
    expected = Counter[str]()
    victims = ["collector"] * COLLECTOR_KILLS + ["gateway"] * GATEWAY_KILLS
    chance.shuffle(victims)
    batches = [MESSAGES // len(victims)] * len(victims)
    batches[0] += MESSAGES - sum(batches)
    number = 0
    for victim, batch in zip(victims, batches, strict=True):
        for _ in range(batch):
            message = message_with_files(number, FILES, SIZE)
            expected.update(attachment.sha256 for attachment in message.expected)
            deliver(stack.maildir(), message)
            number += 1
        time.sleep(chance.uniform(0.0, 0.6))
        stack.kill(victim)
        stack.start(victim)
    until(lambda: stored_count(stack) >= MESSAGES * FILES, "every file stored", timeout_seconds=300)

    assert Counter(stored_files(stack).values()) == expected
    rows = ledger(stack)
    assert Counter(row["status"] for row in rows) == {"stored": MESSAGES * FILES}
    assert Counter(row["sha256"] for row in rows) == expected
    deliveries = gateway_rows(stack, "SELECT message_row_id, count(*) FROM deliveries GROUP BY message_row_id")
    assert len(deliveries) == MESSAGES
    assert {count for _, count in deliveries} == {1}
    until(lambda: not temporaries(stack), "the sweeper's end of what was left behind", timeout_seconds=60)
