"""A page of a report over 200,000 messages, asked for over HTTP, beside the bare SQL of the same rows; and the memory
of paging through all of them.

Both take turns, since the machine is not the same a second later. The bare SQL is the standard library's sqlite3 on the
gateway's own file: the rows of the page alone, and with the total that each page tells as well.
"""

import http.client
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.harness import PeakMemory, Result, less_is_better, seconds, work_folder
from bench.setting import quiet_stack
from satchel.contract.routes import LIST_MAILBOXES, REPORT_RECEIVED_MESSAGES
from satchel.testing.stack import Stack

MESSAGES = 200_000
TIMES = 300
_COLUMNS = (
    'message_id, internet_message_id, conversation_id, mailbox_id, received, sender, "from", subject, has_attachments'
)
_OF_MAILBOX = "WHERE mailbox_id = ? AND readable IS 1 AND received >= ? AND received <= ?"
# Without the bounds of the id SQLite would sort all rows first, and take a hundred times as long.
PAGE = f"SELECT id, {_COLUMNS} FROM messages {_OF_MAILBOX} AND id > 0 AND id < {2**62} ORDER BY id LIMIT ?"
TOTAL = f"SELECT count(*) FROM messages {_OF_MAILBOX}"
ALL_TIMES = ("2000-01-01 00:00:00.000000", "2100-12-31 00:00:00.000000")
FETCH_ALL = """\
import json, resource, sqlite3, sys
database, query, mailbox_id, *times = sys.argv[1:]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = sqlite3.connect(f"file:{database}?mode=ro", uri=True).execute(query, (mailbox_id, *times, -1)).fetchall()
print(json.dumps((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))
"""


def database(stack: Stack) -> Path:
    return stack.folder / "data/gateway/gateway.db"


def rows(mailbox_id: str) -> Iterator[tuple[Any, ...]]:
    """Messages as they come in: a minute between them, ids in no order."""
    chance, first = random.Random(1), datetime(2025, 1, 1, tzinfo=UTC)
    for number in range(MESSAGES):
        person = {"emailAddress": {"name": f"Person {number % 997}", "address": f"person{number % 997}@example.test"}}
        received = (first + timedelta(minutes=number)).strftime("%Y-%m-%d %H:%M:%S.%f")
        message_id = f"{chance.getrandbits(160):040x}"
        yield (
            message_id,
            mailbox_id,
            f"new/{number}",
            f"<{number}.{message_id}@example.test>",
            message_id[:20],
            received,
            *[json.dumps(person)] * 2,
            json.dumps([person]),
            "[]",
            f"Invoice {number} for your order",
            number % 2,
            1,
            received,
        )


def fill(stack: Stack) -> str:
    """Put the messages into the index; the mailbox's id."""
    with sqlite3.connect(database(stack)) as connection:
        [[mailbox_id]] = connection.execute("SELECT id FROM mailboxes").fetchall()
        columns = 'message_id, mailbox_id, locator, internet_message_id, conversation_id, received, sender, "from", '
        columns += '"to", cc, subject, has_attachments, readable, indexed_at'
        marks = ", ".join("?" * 14)
        connection.executemany(f"INSERT INTO messages ({columns}) VALUES ({marks})", rows(mailbox_id))
    connection.close()
    return str(mailbox_id)


class Client:
    """One connection that is kept, as an integration has it."""

    def __init__(self, stack: Stack) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", stack.gateway_port)
        self._headers = {"Authorization": f"Bearer {stack.api_key}"}

    def call(self, path: str, body: bytes | None = None) -> bytes:
        self._connection.request("GET" if body is None else "POST", path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path} answered {answer.status}")
        return content

    def ask(self, path: str, body: bytes | None = None) -> Any:
        return json.loads(self.call(path, body))


def path_of(link: dict[str, str]) -> str:
    parts = urlsplit(link["href"])
    return f"{parts.path}?{parts.query}"


def report(client: Client, max_rows: int) -> tuple[str, float]:
    """A report that is done: the path of its first page, and the seconds that it took."""
    [mailbox] = client.ask(LIST_MAILBOXES.path)["mailboxes"]
    parameters = {"mailboxId": mailbox["mailboxId"], "activityType": "received"}
    began = time.perf_counter()
    answer = client.ask(
        f"{REPORT_RECEIVED_MESSAGES.path}?max={max_rows}", json.dumps({"parameters": parameters}).encode()
    )
    path = path_of(answer["_links"]["self"])
    while answer["status"] == "running":
        time.sleep(0.01)
        answer = client.ask(path)
    if answer["result"]["total"] != MESSAGES or len(answer["result"]["data"]) != max_rows:
        raise SystemExit(f"the report has {answer['result']['total']} rows")
    return path, time.perf_counter() - began


def medians(ours: Callable[[], object], peer: Callable[[], object], times: int) -> tuple[float, float]:
    """Milliseconds of each, in turns."""
    taken = [(seconds(ours) * 1000, seconds(peer) * 1000) for _ in range(times)]
    return statistics.median(each for each, _ in taken), statistics.median(each for _, each in taken)


def first_page(client: Client, connection: sqlite3.Connection, mailbox_id: str, max_rows: int) -> list[Result]:
    path, took = report(client, max_rows)
    print(f"  {took:.2f} s until a report was done", file=sys.stderr)
    mailbox = (mailbox_id, *ALL_TIMES)

    def page() -> object:
        return client.call(path)

    def of_rows() -> object:
        return connection.execute(PAGE, (*mailbox, max_rows)).fetchall()

    def of_rows_and_total() -> object:
        return connection.execute(TOTAL, mailbox).fetchall(), of_rows()

    name, unit = f"report_page_{max_rows}", "ms, median"
    return [
        less_is_better(name, *medians(page, of_rows, TIMES), "bare SQL: rows", unit),
        less_is_better(f"{name}_total", *medians(page, of_rows_and_total, TIMES // 10), "bare SQL: and total", unit),
    ]


def page_through(client: Client) -> int:
    """How many rows there are on all pages of a report."""
    path, _ = report(client, 500)
    seen = 0
    while True:
        answer = client.ask(path)
        seen += len(answer["result"]["data"])
        if "next" not in answer["_links"]:
            return seen
        path = path_of(answer["_links"]["next"])


def run() -> list[Result]:
    with work_folder("report_page") as folder, quiet_stack(folder) as stack:
        mailbox_id = fill(stack)
        gateway = stack.start("gateway")
        connection = sqlite3.connect(f"file:{database(stack)}?mode=ro", uri=True)
        client = Client(stack)
        results = [each for max_rows in (50, 500) for each in first_page(client, connection, mailbox_id, max_rows)]
        with PeakMemory(gateway.pid) as memory:
            if page_through(client) != MESSAGES:
                raise SystemExit("the pages do not have all messages")
        command = [sys.executable, "-c", FETCH_ALL, str(database(stack)), PAGE, mailbox_id, *ALL_TIMES]
        fetched = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        connection.close()
    ours = max(memory.above_idle_mib, 0.1)
    return [*results, less_is_better("report_pages_memory", ours, fetched, "fetchall of all rows", "MiB above idle")]
