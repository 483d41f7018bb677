"""The past of a mailbox is indexed beside a running gateway and without one; what is new to that is announced once."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from satchel.testing.mail import deliver
from tests.e2e.gateway_process import Gateway, gateway, receiver
from tests.e2e.observe import rows, until


def put(running: Gateway, name: str, days_ago: float = 0) -> None:
    received = datetime.now(UTC) - timedelta(days=days_ago)
    mail = (
        f"Received: from a by b; {format_datetime(received)}\r\nMessage-ID: <{name}@x>\r\nSubject: {name}\r\n\r\nHi\r\n"
    )
    deliver(running.maildir, mail.encode())


def index(running: Gateway) -> subprocess.CompletedProcess[str]:
    words = ["gateway", "mailboxes", "index", "--since", "30d", "--config", str(running.folder / "satchel.toml")]
    return subprocess.run(
        [sys.executable, "-m", "satchel", *words], capture_output=True, text=True, timeout=60, check=False
    )


def subjects(running: Gateway) -> list[str]:
    return sorted(row[0] for row in rows(running.folder / "data" / "gateway.db", "SELECT subject FROM messages"))


def announced(running: Gateway) -> list[str]:
    query = "SELECT subject FROM deliveries JOIN messages ON messages.id = message_row_id WHERE status = 'delivered'"
    return sorted(row[0] for row in rows(running.folder / "data" / "gateway.db", query))


def test_indexing_the_past_changes_nothing_of_what_is_announced(tmp_path: Path) -> None:
    with receiver() as hook, gateway(tmp_path / "gateway", hook.url) as running:
        put(running, "before", days_ago=9)
        first = index(running)
        assert (first.returncode, first.stdout) == (0, "1 mailboxes read: 1 messages, 1 of them new to the index.\n")
        running.start()
        put(running, "first")
        until(lambda: announced(running) == ["first"], "the first announcement")
        running.end(signal.SIGKILL)
        put(running, "moved", days_ago=8)
        put(running, "while-down")
        done = index(running)
        assert (done.returncode, done.stdout) == (0, "1 mailboxes read: 4 messages, 2 of them new to the index.\n")
        assert (subjects(running), announced(running)) == (["before", "first", "moved", "while-down"], ["first"])
        running.start()
        put(running, "meanwhile")
        assert index(running).returncode == 0
        expected = ["first", "meanwhile", "moved", "while-down"]
        until(lambda: announced(running) == expected, "the announcements")
        assert len(hook.ids) == len(set(hook.ids)) == 4
    assert subjects(running) == ["before", *expected]
