"""What is done to webhooks and deliveries beside a running gateway reaches it by itself."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from satchel.cli.main import app
from satchel.testing.content import Given
from satchel.testing.mail import deliver, file_part, message
from satchel.testing.stack import free_port
from tests.e2e.gateway_process import MASTER_KEY_TEXT, Gateway, gateway, receiver
from tests.e2e.observe import until


def run(running: Gateway, *words: str) -> str:
    given = [*words, "--config", str(running.folder / "satchel.toml")]
    done = CliRunner().invoke(app, ["gateway", *given], env={"SATCHEL_MASTER_KEY": MASTER_KEY_TEXT})
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    return done.stdout


def put(running: Gateway, name: str) -> None:
    deliver(running.maildir, message(name, name, [file_part("a.pdf", "application/pdf", Given(b"%PDF-1.7"))]))


def statuses(running: Gateway) -> dict[str, str]:
    """By the messages' subjects."""
    query = "SELECT subject, status FROM deliveries JOIN messages ON messages.id = message_row_id"
    with closing(sqlite3.connect(running.folder / "data" / "gateway.db")) as connection:
        return dict(connection.execute(query).fetchall())


def became(running: Gateway, subject: str, status: str) -> None:
    until(lambda: statuses(running).get(subject) == status, f"{subject} {status}")


def listed(running: Gateway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(running, "deliveries", "list", "--json"))
    return found


def test_a_running_gateway_notices(tmp_path: Path) -> None:
    with receiver() as hook, receiver() as other, gateway(tmp_path / "gateway", hook.url) as running:
        running.start()
        put(running, "first")
        became(running, "first", "delivered")
        [first] = listed(running)
        run(running, "webhooks", "pause", "test")
        put(running, "second")
        became(running, "second", "pending")
        run(running, "deliveries", "resend", first["delivery_id"])
        assert (len(hook.ids), statuses(running)["first"]) == (1, "pending")
        run(running, "webhooks", "resume", "test")
        became(running, "first", "delivered")
        became(running, "second", "delivered")
        # In their order, and the repetition under the id that the receiver knows already.
        [_, second] = listed(running)
        assert hook.ids == [first["message_id"], first["message_id"], second["message_id"]]
        assert hook.webhook_ids[first["message_id"]] == {first["delivery_id"]}
        told = json.loads(run(running, "deliveries", "show", first["delivery_id"], "--json"))
        assert [(attempt["number"], attempt["status_code"]) for attempt in told["attempts"]] == [(1, 200), (2, 200)]
        run(running, "webhooks", "change", "test", "--url", other.url)
        put(running, "third")
        became(running, "third", "delivered")
        assert (len(hook.ids), len(other.ids)) == (3, 1)
        exported = [json.loads(line) for line in run(running, "deliveries", "export").splitlines()]
        assert [len(told["attempts"]) for told in exported] == [2, 1, 1]


def test_a_webhook_that_nobody_answers_is_paused_and_loses_nothing_more(tmp_path: Path) -> None:
    settings = {"webhooks.retry_seconds": [0, 0], "webhooks.pause_after_seconds": 0.001}
    nobody = f"http://127.0.0.1:{free_port()}/"
    with receiver() as hook, gateway(tmp_path / "gateway", nobody, settings) as running:
        running.start()
        for number in range(1, 5):
            put(running, f"m{number}")
            # Three attempts each; the tenth is the last.
            became(running, f"m{number}", "failed" if number < 4 else "pending")
        until(lambda: "webhook_paused" in running.log, "the pause")
        assert "answered with 200; there were 10." in run(running, "webhooks", "show", "test")
        assert "webhook.paused" in run(running, "audit")
        run(running, "webhooks", "change", "test", "--url", hook.url)
        run(running, "webhooks", "resume", "test")
        became(running, "m4", "delivered")
        assert (len(hook.ids), statuses(running)["m1"]) == (1, "failed")
