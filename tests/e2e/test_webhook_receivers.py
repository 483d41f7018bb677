"""A real gateway and receivers of every kind: the attempts are those of the contract, and the history has each."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError
from typer.testing import CliRunner

from satchel.cli.main import app
from satchel.contract.signing import new_secret
from satchel.gateway.store.database import open_database
from satchel.gateway.store.secrets import finish_rotation, rotate_secret
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.gateway.webhooks.egress import EgressPolicy
from tests.e2e.gateway_process import LOOPBACK, MAILBOX, MASTER_KEY, Gateway, gateway
from tests.e2e.observe import rows, until
from tests.e2e.test_gateway_arrivals import put
from tests.e2e.webhook_cases import (
    CASES,
    RETRY_SECONDS,
    STALL_SECONDS,
    UNSEEN,
    WITHOUT_REQUESTS,
    Receiver,
    Seen,
    receiving,
)

SECRET = new_secret()
SETTINGS = {
    "webhooks.allowed_networks": ["127.0.0.1"],
    "webhooks.retry_seconds": list(RETRY_SECONDS),
    "webhooks.timeout_seconds": STALL_SECONDS,
}
History = dict[str, dict[str, Any]]


def test_every_case_of_the_contract_at_once(tmp_path: Path) -> None:
    with receiving() as receiver, gateway(tmp_path / "gateway", None, SETTINGS) as running:
        add_webhooks(running, receiver.urls)
        running.start()
        put(running, 1)
        until(lambda: ended(running) == len(CASES), "the end of all deliveries")
        deliveries = history(running)
    assert counts(receiver) == {name: 0 if name in UNSEEN else case.attempts for name, case in CASES.items()}
    assert_waits(receiver, deliveries)
    assert_recorded(deliveries)
    assert_signed(receiver, deliveries)
    assert listed(running) == {(each["id"], each["status"], each["count"]) for each in deliveries.values()}


def add_webhooks(running: Gateway, urls: Mapping[str, str]) -> None:
    engine = open_database(running.folder / "data")
    for name, url in urls.items():
        new = NewWebhook(name, url, [MAILBOX], secret=SECRET)
        add_webhook(engine, new, policy=EgressPolicy(True, LOOPBACK), master_key=MASTER_KEY)
    engine.dispose()


def ended(running: Gateway) -> int:
    query = "SELECT count(*) FROM deliveries WHERE status <> 'pending'"
    return int(rows(running.folder / "data" / "gateway.db", query)[0][0])


def history(running: Gateway) -> History:
    """Each delivery by its webhook's name, with its attempts in their order."""
    with closing(sqlite3.connect(running.folder / "data" / "gateway.db")) as connection:
        connection.row_factory = sqlite3.Row
        joined = "SELECT w.name, d.* FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id"
        deliveries = connection.execute(joined).fetchall()
        attempts = connection.execute("SELECT * FROM delivery_attempts ORDER BY number").fetchall()
    return {
        each["name"]: {
            **dict(each),
            "count": each["attempts"],
            "attempts": [dict(attempt) for attempt in attempts if attempt["delivery_id"] == each["id"]],
        }
        for each in deliveries
    }


def counts(receiver: Receiver) -> dict[str, int]:
    """How often each case was called: requests, or handshakes that came to nothing where TLS was wrong."""
    failed = {name: [end for end in receiver.handshakes[name] if end is not None] for name in WITHOUT_REQUESTS}
    return {name: len(failed.get(name, receiver.seen[name])) for name in CASES}


def assert_waits(receiver: Receiver, deliveries: History) -> None:
    """What a receiver asked for with 429 by its clock, and the pauses of the settings by the gateway's."""
    assert receiver.seen["redirected"] == []
    for name, case in CASES.items():
        attempts = deliveries[name]["attempts"]
        instants = [(moment(each["started_at"]), moment(each["finished_at"])) for each in attempts]
        paused = [(after[0] - before[1]).total_seconds() for before, after in pairwise(instants)]
        waited = receiver.waits_seconds(name) if case.status_code == 429 else paused
        assert all(seconds >= least for seconds, least in zip(waited, case.waits_seconds, strict=True)), (name, waited)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def assert_recorded(deliveries: History) -> None:
    for name, case in CASES.items():
        delivery, answer = deliveries[name], stored(case.answer)
        last = (delivery["last_status_code"], delivery["last_error"], delivery["last_answer"])
        assert (delivery["status"], delivery["count"], *last) == (
            case.final,
            case.attempts,
            case.status_code,
            case.error,
            answer,
        ), name
        recorded = [
            (each["number"], each["status_code"], each["error"], each["answer"]) for each in delivery["attempts"]
        ]
        expected = [(number, case.status_code, case.error, answer) for number in range(1, case.attempts + 1)]
        assert recorded == expected, name


def stored(answer: bytes | None) -> str | None:
    """What the history keeps of an answer."""
    return None if answer is None else answer[:2048].decode("utf-8", "replace").replace("\0", "\ufffd")


def assert_signed(receiver: Receiver, deliveries: History) -> None:
    """Each attempt is the same event under the same id, and signed with its own time."""
    for name, requests in receiver.seen.items():
        for request in requests:
            assert request.body == requests[0].body
            assert request.headers["webhook-id"] == deliveries[name]["id"]
            assert request.headers["authorization"] == f"Bearer {SECRET}"
            assert Webhook(SECRET).verify(request.body, request.headers)["mailbox"] == MAILBOX
    first, _, last = (int(request.headers["webhook-timestamp"]) for request in receiver.seen["busy-10"])
    assert last - first >= 19


def listed(running: Gateway) -> set[tuple[str, str, int]]:
    """The history as people ask for it."""
    words = ["gateway", "deliveries", "list", "--json", "--config", str(running.folder / "satchel.toml")]
    found = json.loads(CliRunner().invoke(app, words).stdout)
    return {(each["delivery_id"], each["status"], each["attempts"]) for each in found}


def accepts(verifier: Webhook, request: Seen) -> bool:
    try:
        verifier.verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


def test_an_unmodified_verifier_takes_every_delivery_while_the_secret_changes(tmp_path: Path) -> None:
    old, new = Webhook(SECRET), Webhook(second := new_secret())
    with receiving() as receiver, gateway(tmp_path / "gateway", None, SETTINGS) as running:
        requests = receiver.seen["success"]
        add_webhooks(running, {"success": receiver.urls["success"]})
        running.start()
        engine = open_database(running.folder / "data")

        def arrive(number: int) -> list[bool]:
            """Of the delivery of one more message: whether the old secret is its Bearer, and who accepts it."""
            put(running, number)
            until(lambda: len(requests) == number, f"delivery {number}")
            request = requests[-1]
            return [
                request.headers["authorization"] == f"Bearer {SECRET}",
                accepts(old, request),
                accepts(new, request),
            ]

        assert arrive(1) == [True, True, False]
        rotate_secret(engine, "success", second, master_key=MASTER_KEY)
        assert arrive(2) == [True, True, True]
        finish_rotation(engine, "success")
        assert arrive(3) == [False, False, True]
        assert requests[-1].headers["authorization"] == f"Bearer {second}"
        engine.dispose()
