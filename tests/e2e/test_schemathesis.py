"""Schemathesis, with all its checks, against a real gateway: the OpenAPI document and the gateway agree.

`SATCHEL_SCHEMATHESIS_EXAMPLES` is the number of examples for each operation and phase; 1000 make over 5,000 requests.
`SATCHEL_SCHEMATHESIS_SEED` repeats a run.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from satchel.contract.routes import (
    DOWNLOAD_ATTACHMENT,
    LIST_ATTACHMENTS,
    LIST_MAILBOXES,
    REPORT_RECEIVED_MESSAGES,
    ROUTES,
)
from satchel.testing.content import Generated
from satchel.testing.mail import (
    Multipart,
    Part,
    SampleMessage,
    deliver,
    file_part,
    message,
    message_with_link,
    message_with_message,
)
from tests.e2e.gateway_process import Gateway, gateway
from tests.e2e.observe import rows, until

EXAMPLES = int(os.environ.get("SATCHEL_SCHEMATHESIS_EXAMPLES", "25"))
SEED = os.environ.get("SATCHEL_SCHEMATHESIS_SEED", "1")
# Of the largest setting on a slow machine.
TIMEOUT_SECONDS = 60 + EXAMPLES * 5
# Neither limits nor held answers, which would only take time here.
UNLIMITED = {"limits.failed_keys_per_minute": 0, "not_found_hold_seconds": 0}
# What is refused for the state of a file and not for its form: 412 and 416, beside those that Schemathesis knows.
ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "412", "416", "429", "5xx"]


@dataclass(frozen=True)
class Known:
    """Ids that exist."""

    messages: list[str]
    attachments: list[str]
    mailboxes: list[str]
    runs: list[str]


def configuration(running: Gateway, there: Known) -> str:
    """schemathesis.toml: the key, and for most calls ids that exist and conditions that hold, so that there is
    something to be found.

    What a schema cannot say of reports: cursors exclude each other, days exist, and the end is not before the start.
    """
    known = {
        "messages": ("path.messageId", there.messages),
        "attachments": ("path.attachmentId", there.attachments),
        "mailboxes": ("body.parameters.mailboxId", there.mailboxes),
        "runs": ("path.runId", there.runs),
        "ranges": ("header.Range", ["bytes=0-0", "bytes=-10", "bytes=100-", "bytes=0-,0-"]),
        "matches": ("header.If-Match", ["*"]),
    }
    return "\n".join(
        [
            f"base-url = {json.dumps(running.url)}",
            f"seed = {SEED}",
            f'auth.openapi.apiKey = {{ bearer = "{running.key}" }}',
            f"generation.max-examples = {EXAMPLES}",
            f"checks.positive_data_acceptance.expected-statuses = {json.dumps(ACCEPTED)}",
            *(f"dictionaries.{name}.values = {json.dumps(values)}" for name, (_, values) in known.items()),
            "[parameters]",
            *(f'"{key}" = {{ dictionary = "{name}", probability = 0.7 }}' for name, (key, _) in known.items()),
            "[[operations]]",
            'include-path-regex = "/reports/"',
            f"checks.positive_data_acceptance.expected-statuses = {json.dumps([*ACCEPTED, '400'])}",
            "",
        ]
    )


def prepared(running: Gateway) -> Known:
    """A message with files of several sizes, a link and a message in it, and a report of it."""
    files = [file_part(f"file-{size}.bin", "application/pdf", Generated(size, 1)) for size in (0, 1, 4096, 300_000)]
    others = [part for sample in (message_with_link(), message_with_message()) for part in parts(sample)[1:]]
    deliver(running.maildir, message("all", "All kinds", [*files, *others]))
    database = running.folder / "data" / "gateway.db"
    [(message_id,)] = until(lambda: rows(database, "SELECT message_id FROM messages"), "the message in the index")
    url = running.url + LIST_ATTACHMENTS.url(message_id=message_id)
    listed = requests.get(url, headers=running.headers, timeout=30).json()["attachments"]
    assert len(listed) == 6
    mailbox_id, run_id = reported(running)
    return Known([message_id], [attachment["id"] for attachment in listed], [mailbox_id], [run_id])


def reported(running: Gateway) -> tuple[str, str]:
    """The mailbox, and a report of it that is done."""

    def ask(method: str, url: str, **more: Any) -> Any:
        return requests.request(method, url, headers=running.headers, timeout=30, **more).json()

    [mailbox] = ask("GET", running.url + LIST_MAILBOXES.path)["mailboxes"]
    body = {"parameters": {"mailboxId": mailbox["mailboxId"], "activityType": "received"}}
    there = ask("POST", running.url + REPORT_RECEIVED_MESSAGES.path, json=body)["_links"]["self"]["href"]
    until(lambda: ask("GET", there)["status"] == "done", "the end of the report")
    return mailbox["mailboxId"], there.rpartition("/")[2].partition("?")[0]


def parts(sample: SampleMessage) -> Sequence[Part]:
    assert isinstance(sample.body, Multipart)
    return sample.body.parts


def answered(lines: list[dict[str, Any]]) -> Counter[tuple[str, str | None, int]]:
    """How often each route was answered with each status, by the gateway's own log."""
    return Counter((line["method"], line["route"], line["status"]) for line in lines if line["event"] == "request")


@pytest.mark.timeout(TIMEOUT_SECONDS + 60)
def test_the_document_and_the_gateway_agree(tmp_path: Path) -> None:
    with gateway(tmp_path / "gateway", further=UNLIMITED) as running:
        running.start()
        config = tmp_path / "schemathesis.toml"
        config.write_text(configuration(running, prepared(running)), "utf-8")
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        options = ["--phases", "examples,coverage,fuzzing,stateful", "--checks", "all", "--continue-on-failure"]
        run = subprocess.run(
            [*command, f"{running.url}/openapi.json", *options],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            cwd=tmp_path,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        # Each line is JSON: a traceback would be none.
        lines = [json.loads(line) for line in running.log.splitlines()]
    counts = answered(lines)
    print(f"{counts.total()} requests; statuses {sorted(Counter(status for *_, status in counts.elements()).items())}")
    assert counts.total() >= (5001 if EXAMPLES >= 1000 else 5 * EXAMPLES)
    # Not only refusals were compared with the document.
    for route in ROUTES:
        assert counts[route.methods[0], route.path, 200], f"{route.path} was never answered with 200"
    assert counts["POST", REPORT_RECEIVED_MESSAGES.path, 400]
    assert counts["GET", DOWNLOAD_ATTACHMENT.path, 403]
    assert counts["GET", LIST_ATTACHMENTS.path, 401]
    assert "call_failed" not in {line["event"] for line in lines}
