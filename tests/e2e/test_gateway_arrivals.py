"""Arrivals and webhooks of a real gateway that is killed again and again."""

import random
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from satchel.testing.content import Given
from satchel.testing.mail import deliver, file_part, message
from tests.e2e.gateway_process import Gateway, Receiver, gateway, receiver
from tests.e2e.observe import until

MESSAGES, KILLS = 40, 4


def query(running: Gateway, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(running.folder / "data" / "gateway.db")) as connection:
        return connection.execute(sql).fetchall()


def put(running: Gateway, number: int) -> None:
    part = file_part(f"{number}.pdf", "application/pdf", Given(b"%PDF-1.7 " + str(number).encode()))
    deliver(running.maildir, message(f"m{number}", f"Message {number}", [part]))


def all_delivered(running: Gateway, count: int) -> bool:
    return query(running, "SELECT status, count(*) FROM deliveries GROUP BY status") == [("delivered", count)]


def test_old_mail_is_not_announced_and_new_mail_is(tmp_path: Path) -> None:
    with receiver() as hook, gateway(tmp_path / "gateway", hook.url) as running:
        put(running, 0)
        running.start()
        put(running, 1)
        until(lambda: all_delivered(running, 1), "the delivery")
        running.end(signal.SIGTERM)
        put(running, 2)
        running.start()
        until(lambda: all_delivered(running, 2), "what arrived while the gateway was down")
        assert len(hook.ids) == len(set(hook.ids)) == 2
        assert query(running, "SELECT count(*) FROM messages") == [(3,)]


def test_a_refused_announcement_is_tried_again(tmp_path: Path) -> None:
    with receiver() as hook, gateway(tmp_path / "gateway", hook.url) as running:
        hook.is_moody = True
        running.start()
        put(running, 1)
        until(lambda: all_delivered(running, 1), "the delivery at the second attempt")
        assert len(hook.ids) == 2
        attempts = query(running, "SELECT number, status_code, error FROM delivery_attempts ORDER BY number")
        assert attempts == [(1, 503, "http_503"), (2, 200, None)]


def test_kill_9_loses_no_message_and_makes_no_delivery_twice(tmp_path: Path) -> None:
    chance = random.Random(7)
    with receiver() as hook, gateway(tmp_path / "gateway", hook.url) as running:
        running.start()
        number = 0
        for _ in range(KILLS):
            for _ in range(MESSAGES // KILLS):
                put(running, number)
                number += 1
            time.sleep(chance.uniform(0.0, 0.5))
            running.end(signal.SIGKILL)
            running.start()
        until(lambda: all_delivered(running, MESSAGES), "every message delivered")
        counts = query(running, "SELECT count(*), count(DISTINCT message_row_id) FROM deliveries")
        assert counts == [(MESSAGES, MESSAGES)]
        assert_each_reached(hook, running)


def assert_each_reached(hook: Receiver, running: Gateway) -> None:
    """Every message came; twice only where an attempt was cut off by a kill."""
    reached = Counter(hook.accepted)
    assert set(reached) == {row[0] for row in query(running, "SELECT message_id FROM messages")}
    interrupted = Counter(
        dict(
            query(
                running,
                "SELECT m.message_id, count(*) FROM delivery_attempts a JOIN deliveries d ON d.id = a.delivery_id "
                "JOIN messages m ON m.id = d.message_row_id WHERE a.error = 'interrupted' GROUP BY 1",
            )
        )
    )
    assert all(count <= 1 + interrupted[message_id] for message_id, count in reached.items())
