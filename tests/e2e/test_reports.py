"""Reports of a real gateway: the published way to read them, kill -9 in the middle, and one more process of the API."""

import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from satchel.contract.routes import LIST_MAILBOXES, REPORT_RECEIVED_MESSAGES
from satchel.testing.content import Given
from satchel.testing.mail import deliver, file_part, message
from tests.e2e.gateway_process import Gateway, gateway
from tests.e2e.observe import rows, until

# Enough slices for a kill to come between two of them.
MANY = 150_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("reports") / "gateway") as running:
        running.start()
        yield running


def deliver_some(running: Gateway, *numbers: int) -> None:
    for number in numbers:
        name = f"report-{number}"
        deliver(running.maildir, message(name, name, [file_part("a.pdf", "application/pdf", Given(b"%PDF"))]))
    subjects = {f"report-{number}" for number in numbers}

    def indexed() -> bool:
        return subjects <= {subject for (subject,) in rows(database(running), "SELECT subject FROM messages")}

    until(indexed, "the messages in the index")


def database(running: Gateway) -> Path:
    return running.folder / "data" / "gateway.db"


def begin(running: Gateway, *, query: str = "", url: str | None = None, **parameters: Any) -> dict[str, Any]:
    base = url or running.url
    [mailbox] = requests.get(base + LIST_MAILBOXES.path, headers=running.headers, timeout=30).json()["mailboxes"]
    body = {"parameters": {"mailboxId": mailbox["mailboxId"], "activityType": "received", **parameters}}
    answer = requests.post(base + REPORT_RECEIVED_MESSAGES.path + query, headers=running.headers, json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    begun: dict[str, Any] = answer.json()
    return begun


def get(running: Gateway, url: str) -> dict[str, Any]:
    answer = requests.get(url, headers=running.headers, timeout=30)
    assert answer.status_code == 200, answer.text
    got: dict[str, Any] = answer.json()
    return got


def done(running: Gateway, report: dict[str, Any]) -> dict[str, Any]:
    """The published loop's first half: ask at `_links.self` while the report is running."""
    give_up = time.monotonic() + 60
    while report["status"] == "running":
        assert time.monotonic() < give_up, report
        time.sleep(0.05)
        report = get(running, report["_links"]["self"]["href"])
    assert report["status"] == "done", report
    return report


def read_on(running: Gateway, url: str | None) -> list[dict[str, Any]]:
    """Its second half, as the public service's page on pagination has it."""
    found = []
    while url:
        response = get(running, url)
        found += response["result"]["data"]
        url = response["_links"].get("next", {}).get("href")
    return found


def test_the_published_loop_reads_everything_while_messages_arrive(running: Gateway) -> None:
    deliver_some(running, *range(7))
    report = done(running, begin(running, query="?max=3"))
    first = get(running, report["_links"]["self"]["href"])
    deliver_some(running, *range(100, 104))
    found = read_on(running, report["_links"]["self"]["href"])
    assert get(running, report["_links"]["self"]["href"]) == first
    assert report["result"]["total"] == len(found)
    assert sorted(row["subject"] for row in found) == sorted(f"report-{number}" for number in range(7))
    ids = [row["id"] for row in found]
    assert ids == sorted(set(ids))
    # What came meanwhile is behind the last row of a report that begins now.
    later = done(running, begin(running, query=f"?starting_after={ids[-1]}"))
    assert {row["subject"] for row in later["result"]["data"]} == {f"report-{number}" for number in range(100, 104)}
    # The ids are those of the calls about attachments.
    listed = get(running, f"{running.url}/api/v1/messages/{found[0]['messageId']}/attachments")
    assert [attachment["name"] for attachment in listed["attachments"]] == ["a.pdf"]


def test_another_process_of_the_api_begins_and_tells_reports(running: Gateway) -> None:
    deliver_some(running, 200)
    other = Gateway(running.folder, key=running.key, options=("--api-only",), log_name="api-only")
    other.start()
    try:
        report = done(other, begin(other, query="?max=500"))
        there = report["_links"]["self"]["href"]
        here = there.replace(other.url, running.url)
        assert get(running, here)["result"] == report["result"]
        assert "report-200" in {row["subject"] for row in report["result"]["data"]}
    finally:
        other.end(signal.SIGTERM)


def test_a_large_body_is_refused(running: Gateway) -> None:
    answer = requests.post(
        running.url + REPORT_RECEIVED_MESSAGES.path, headers=running.headers, data=b"x" * 1_000_000, timeout=30
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "413")


def index_many(running: Gateway) -> None:
    """Rows of messages, as if they had arrived."""
    nobody = json.dumps({"emailAddress": {"name": "", "address": "a@example.test"}})
    first = datetime(2025, 1, 1, tzinfo=UTC)
    with closing(sqlite3.connect(database(running))) as connection, connection:
        [[mailbox_id]] = connection.execute("SELECT id FROM mailboxes")
        connection.executemany(
            "INSERT INTO messages (message_id, mailbox_id, locator, internet_message_id, conversation_id, received,"
            ' sender, "from", "to", cc, subject, has_attachments, readable, indexed_at)'
            " VALUES (?, ?, '', '', '', ?, ?, ?, '[]', '[]', '', 0, 1, ?)",
            (
                (f"many-{number}", mailbox_id, at := instant(first + timedelta(minutes=number)), nobody, nobody, at)
                for number in range(MANY)
            ),
        )


def instant(value: datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S.%f")


def kill_in_mid_run(running: Gateway) -> tuple[dict[str, Any], int]:
    """Begin a report and kill the gateway when the first slices are counted; how many rows these were."""
    for _ in range(10):
        report = begin(running, query="?max=1")
        run_id = report["_links"]["self"]["href"].rpartition("/")[2].partition("?")[0]
        status, progress, counted = how_it_stands(running, run_id)
        while not progress:
            status, progress, counted = how_it_stands(running, run_id)
        running.end(signal.SIGKILL)
        status, progress, counted = how_it_stands(running, run_id)
        if status == "running":
            assert 0 < progress < 100
            return report, counted
        running.start()
    raise AssertionError("the gateway was done each time before it was killed")


def how_it_stands(running: Gateway, run_id: str) -> tuple[str, int, int]:
    [(status, progress, counted)] = rows(
        database(running), "SELECT status, progress, total FROM report_runs WHERE id = ?", run_id
    )
    return status, progress, counted


def test_a_run_goes_on_after_kill_9(tmp_path: Path) -> None:
    with gateway(tmp_path / "gateway") as running:
        index_many(running)
        running.start()
        report, counted = kill_in_mid_run(running)
        assert 0 < counted < MANY
        running.start()
        result = f"{running.url}/api/{report['_links']['self']['href'].partition('/api/')[2]}"
        report = done(running, get(running, result))
        assert report["result"]["total"] == MANY
        last = get(running, f"{result.partition('?')[0]}?ending_before={2**63 - 1}")
        assert last["result"]["data"][-1]["messageId"] == f"many-{MANY - 1}"
        assert "next" not in last["_links"]
