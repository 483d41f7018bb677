"""The past of a mailbox is indexed beside a running gateway and while it is down; what is new is announced once."""

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


def test_the_past_is_never_announced_and_the_present_once(tmp_path: Path) -> None:
    with receiver() as hook, gateway(tmp_path / "gateway", hook.url) as running:
        running.start()
        put(running, "first")
        until(lambda: announced(running) == ["first"], "the first announcement")
        running.end(signal.SIGKILL)
        put(running, "old", days_ago=9)
        put(running, "while-down")
        done = index(running)
        assert (done.returncode, done.stdout) == (0, "1 mailboxes read: 1 messages, 1 of them new to the index.\n")
        assert (subjects(running), announced(running)) == (["first", "old"], ["first"])
        running.start()
        put(running, "meanwhile")
        beside = index(running)
        assert (beside.returncode, beside.stderr) == (0, f"{running.maildir.name}: 1 messages, 0 new\n")
        expected = ["first", "meanwhile", "while-down"]
        until(lambda: announced(running) == expected, "the announcements")
        assert len(hook.ids) == len(set(hook.ids)) == 3
    assert subjects(running) == ["first", "meanwhile", "old", "while-down"]
