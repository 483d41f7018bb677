"""Arrivals in Microsoft 365, as a real gateway sees them: by notifications, by polling, and what was missed."""

import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from satchel.testing.graph import Faults, chance
from satchel.testing.stack import free_port
from tests.e2e.gateway_process import MAILBOX, Gateway, Receiver, gateway, receiver
from tests.e2e.graph_thread import GraphThread, graph_thread
from tests.e2e.observe import rows, until

OTHER = "board@example.test"
SELDOM = 3600


def query(running: Gateway, sql: str) -> list[tuple[Any, ...]]:
    return rows(running.folder / "data" / "gateway.db", sql)


def delivered(running: Gateway) -> set[str]:
    found = query(
        running,
        "SELECT m.message_id FROM deliveries d JOIN messages m ON m.id = d.message_row_id WHERE status = 'delivered'",
    )
    return {message_id for (message_id,) in found}


def comes(running: Gateway, *message_ids: str) -> None:
    until(lambda: delivered(running) >= set(message_ids), f"the delivery of {message_ids}")


def calls(graph: GraphThread, method: str, kind: str) -> int:
    return graph.do(lambda found: sum(each.method == method and each.kind == kind for each in found.calls))


@contextmanager
def running_gateway(
    tmp_path: Path, graph: GraphThread, hook: Receiver, *, notified: bool, **settings: Any
) -> Iterator[Gateway]:
    port = free_port()
    url = {"notification_url": f"http://127.0.0.1:{port}"} if notified else {}
    further = graph.gateway_settings(MAILBOX, OTHER, **url, **settings) | {"listen_port": port}
    with gateway(tmp_path / "gateway", hook.url, further) as running:
        yield running


def subscribed(running: Gateway) -> bool:
    return query(running, "SELECT status FROM graph_subscriptions") == [("active",)] * 2


def test_polling(tmp_path: Path) -> None:
    with graph_thread(MAILBOX, OTHER) as graph, receiver() as hook:
        old = [graph.put(MAILBOX, number) for number in range(3)]
        with running_gateway(tmp_path, graph, hook, notified=False, poll_seconds=0.2) as running:
            running.start()
            new = graph.put(MAILBOX, 10)
            graph.put(OTHER, 11)
            comes(running, new)
            running.end(signal.SIGTERM)
            while_down = graph.put(MAILBOX, 12)
            running.start()
            comes(running, while_down)
            assert set(hook.ids) == {new, while_down}
            assert len(hook.ids) == 2
            assert {row[0] for row in query(running, "SELECT message_id FROM messages")} >= {*old, new, while_down}
            assert graph.do(lambda found: found.subscriptions) == []
            # Old mail costs a page, and no call for each message.
            assert calls(graph, "GET", "message") == 3


def test_notifications_and_what_they_miss(tmp_path: Path) -> None:
    with graph_thread(MAILBOX, OTHER) as graph, receiver() as hook:
        settings = {"poll_seconds": SELDOM, "catch_up_seconds": SELDOM}
        with running_gateway(tmp_path, graph, hook, notified=True, **settings) as running:
            running.start()
            until(lambda: subscribed(running), "the subscriptions")
            graph.simulator.faults.duplicate_notification = chance(1.0)
            expected = [graph.put(MAILBOX, number) for number in range(5)]
            comes(running, *expected)

            graph.simulator.faults.lose_notification = chance(1.0)
            expected.append(graph.put(MAILBOX, 5))
            graph.do(lambda found: found.send_missed(MAILBOX))
            comes(running, *expected)

            graph.do(lambda found: found.remove_subscriptions(MAILBOX))
            expected.append(graph.put(MAILBOX, 6))
            comes(running, *expected)
            until(lambda: len(graph.do(lambda found: found.subscriptions)) == 2, "a new subscription")

            graph.simulator.faults.lose_notification = chance(0.0)
            until(lambda: subscribed(running), "the subscriptions")
            graph.do(lambda found: found.demand_reauthorization(MAILBOX))
            until(lambda: calls(graph, "POST", "reauthorize") >= 1, "the reauthorization")
            until(lambda: subscribed(running), "the subscriptions")
            expected.append(graph.put(MAILBOX, 7))
            comes(running, *expected)
            assert Counter(hook.ids) == Counter(expected)


def test_many_notifications_at_once_to_two_processes(tmp_path: Path) -> None:
    with graph_thread(MAILBOX, OTHER, faults=Faults(lose_notification=chance(1.0))) as graph, receiver() as hook:
        settings = {"poll_seconds": SELDOM, "catch_up_seconds": SELDOM}
        with running_gateway(tmp_path, graph, hook, notified=True, **settings) as running:
            running.start()
            until(lambda: subscribed(running), "the subscriptions")
            message_ids = [graph.put(MAILBOX, number) for number in range(20)]
            secret = graph.do(lambda found: next(each for each in found.subscriptions if MAILBOX in each.resource))
            posts = [notification(secret.client_state, each) for each in message_ids] * 15
            posts += [notification("wrong", each) for each in message_ids] * 5
            with another_process(running) as other, ThreadPoolExecutor(32) as threads:
                urls = [f"{process.url}/notifications/graph" for process in (running, other)]

                def post(number: int) -> int:
                    return requests.post(urls[number % 2], json=posts[number], timeout=120).status_code

                assert Counter(threads.map(post, range(len(posts)))) == {202: len(posts)}
                comes(running, *message_ids)
            assert Counter(hook.ids) == Counter(message_ids)
            # Those that came again after their message was announced are looked at too.
            until(lambda: query(running, "SELECT count(*) FROM pending_messages") == [(0,)], "nothing that waits")


def notification(secret: str | None, message_id: str) -> dict[str, Any]:
    return {"value": [{"clientState": secret, "changeType": "created", "resourceData": {"id": message_id}}]}


@contextmanager
def another_process(running: Gateway) -> Iterator[Gateway]:
    """One of the API alone, on the same folder and a port of its own."""
    configuration = running.folder / "satchel.toml"
    kept = configuration.read_text("utf-8")
    configuration.write_text(
        "\n".join("gateway.listen_port = 0" if "listen_port" in line else line for line in kept.splitlines()), "utf-8"
    )
    other = Gateway(running.folder, key=running.key, options=("--api-only",), log_name="api-only")
    other.start()
    try:
        yield other
    finally:
        other.end(signal.SIGTERM)
