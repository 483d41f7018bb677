"""A gateway over Microsoft 365: ids from elsewhere, what it counts, what its doctor says, and a Graph that is away."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.testing.content import Given
from satchel.testing.mail import file_part, message
from satchel.testing.stack import free_port
from tests.e2e.gateway_process import MAILBOX, Gateway, gateway
from tests.e2e.graph_thread import GraphThread, graph_thread
from tests.e2e.observe import rows, until
from tests.e2e.test_metrics import value

OTHER, BOSS = "board@example.test", "boss@example.test"
CONTENT = b"%PDF-1.7 old"


def put(graph: GraphThread, mailbox: str, folder: str) -> tuple[str, str]:
    """A message in a folder that is not watched; its immutable and its mutable id."""
    mail = message("old", "Old", [file_part("old.pdf", "application/pdf", Given(CONTENT))])
    message_id = graph.do(lambda simulator: simulator.deliver(mailbox, mail, folder=folder))
    return message_id, graph.do(lambda simulator: simulator.mutable_id(mailbox, message_id))


def asked(running: Gateway, path: str) -> requests.Response:
    return requests.get(running.url + path, headers=running.headers | {"X-Request-Id": "one"}, timeout=30)


def indexed(running: Gateway) -> bool:
    return bool(rows(running.folder / "data" / "gateway.db", "SELECT 1 FROM mailboxes WHERE indexed_at IS NOT NULL"))


def test_ids_from_elsewhere(tmp_path: Path) -> None:
    with graph_thread(MAILBOX, OTHER) as graph:
        immutable, mutable = put(graph, MAILBOX, "drafts")
        _, forbidden = put(graph, OTHER, "drafts")
        unknown = forbidden[:-9] + "AAAAAAAA="
        with gateway(tmp_path / "gateway", None, graph.gateway_settings(MAILBOX, OTHER)) as running:
            running.start()
            until(lambda: indexed(running), "the end of the baseline")
            for message_id in (immutable, mutable):
                listed = asked(running, LIST_ATTACHMENTS.url(message_id=message_id))
                assert listed.status_code == 200
                (attachment,) = listed.json()["attachments"]
                path = DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=attachment["id"])
                assert asked(running, path).content == CONTENT
            seen = len(graph.do(lambda simulator: simulator.calls))
            # The key is for one mailbox: what is in the other is to it as what is nowhere, and nobody asks there.
            there, nowhere = (asked(running, LIST_ATTACHMENTS.url(message_id=each)) for each in (forbidden, unknown))
            assert (there.status_code, nowhere.status_code) == (404, 404)
            assert there.text.replace(forbidden, unknown) == nowhere.text
            made = graph.do(lambda simulator: simulator.calls[seen:])
            assert {call.mailbox for call in made if call.kind == "message"} == {MAILBOX}
            assert running.end(signal.SIGTERM) == 0


def doctor(running: Gateway) -> tuple[int, dict[str, str]]:
    """Its exit status, and what it found of each check."""
    command = [sys.executable, "-m", "satchel", "gateway", "doctor", "--json"]
    environment = {**os.environ, "SATCHEL_CONFIG": str(running.folder / "satchel.toml")}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.stderr == b"", "what libraries say is not for people"
    findings: list[dict[str, Any]] = json.loads(done.stdout)["accounts"][0]["findings"]
    return done.returncode, {finding["check"]: finding["verdict"] for finding in findings}


def test_what_is_counted_and_what_the_doctor_says(tmp_path: Path) -> None:
    port, metrics = free_port(), free_port()
    with graph_thread(MAILBOX) as graph:
        graph.do(lambda simulator: simulator.add_mailbox(BOSS, refused=True))
        settings = graph.gateway_settings(MAILBOX, refused_mailbox=BOSS, notification_url=f"http://127.0.0.1:{port}")
        further = settings | {"listen_port": port, "metrics.listen_port": metrics}
        with gateway(tmp_path / "gateway", None, further) as running:
            running.start()
            until(lambda: graph.do(lambda simulator: len(simulator.subscriptions)), "a subscription")
            until(lambda: indexed(running), "the end of the baseline")
            graph.put(MAILBOX, 1)
            until(lambda: value(metrics, "messages_indexed_total"), "the message in the index")
            assert value(metrics, "graph_requests_total", outcome="ok") > 0
            assert value(metrics, "graph_requests_total", outcome="throttled") == 0
            assert value(metrics, "graph_notifications_total", outcome="taken") == 1
            assert requests.post(f"{running.url}/notifications/graph", json={"value": [{}]}, timeout=9).ok
            assert value(metrics, "graph_notifications_total", outcome="refused") == 1
            assert value(metrics, "graph_healed_streams_total", outcome="healed") == 0
            until(lambda: value(metrics, "graph_subscriptions", status="active") == 1, "the subscription counted")
            status, found = doctor(running)
            assert running.end(signal.SIGTERM) == 0
    # Of loopback Graph itself would take no notification URL that is not https://.
    assert (status, found.pop("notification_url")) == (1, "failure")
    assert found.pop("permissions") == "warning"
    assert set(found.values()) == {"good"}


def test_it_starts_without_graph_and_says_what_it_cannot_do(tmp_path: Path) -> None:
    with graph_thread(MAILBOX) as graph:
        nowhere = f"https://127.0.0.1:{free_port()}"
        settings = graph.gateway_settings(MAILBOX) | {"graph.base_url": nowhere, "graph.authority": nowhere}
        with gateway(tmp_path / "gateway", None, settings | {"graph.patience_seconds": 1.0}) as running:
            running.process = running.spawn()
            running.url = until(lambda: _listening(running), "the port")
            assert requests.get(f"{running.url}/healthz", timeout=10).status_code == 200
            answer = asked(running, LIST_ATTACHMENTS.url(message_id="AAMk" + "x" * 60))
            assert (answer.status_code, answer.json()["error"]["reason"]) == (503, "upstream_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            status, found = doctor(running)
            assert (status, found["token"]) == (1, "failure")
            assert running.end(signal.SIGTERM) == 0


def _listening(running: Gateway) -> str | None:
    for line in running.log.splitlines():
        if '"event":"listening"' in line:
            return f"http://127.0.0.1:{json.loads(line)['port']}"
    return None
