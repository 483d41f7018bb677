"""A collector as a real process, without the command line: started, killed, stopped and looked into by tests."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from satchel.testing.stack import free_port

SECRET = "a webhook secret for tests"
_START = (
    "import sys; from pathlib import Path; from satchel.collector.app import run; "
    "from satchel.collector.settings import CollectorSettings; run(CollectorSettings.load(Path(sys.argv[1])))"
)


@dataclass
class CollectorProcess:
    """One collector in a folder; `settings` are added to what it needs."""

    folder: Path
    gateway_url: str
    settings: dict[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhook"

    @property
    def files(self) -> Path:
        return self.folder / "files"

    def start(self) -> None:
        table = {
            "listen_port": self.port,
            "gateway_url": self.gateway_url,
            "api_key": "test-key",
            "webhook_secret": SECRET,
            "data_dir": "data",
            "local.root": "files",
            "retry.base_seconds": 0.05,
            "sweep_seconds": 1.0,
            **self.settings,
        }
        config = self.folder / "satchel.toml"
        config.write_text("[collector]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in table.items()), "utf-8")
        with (self.folder / "collector.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _START, str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                    return
            except (OSError, urllib.error.URLError):
                time.sleep(0.02)
        raise AssertionError(self.log())

    def log(self) -> str:
        return (self.folder / "collector.log").read_text("utf-8", "replace")

    def end(self, how: signal.Signals) -> int:
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return 0
        process.send_signal(how)
        try:
            return process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def post(self, body: bytes, *, secret: str = SECRET) -> tuple[int, bytes]:
        request = urllib.request.Request(self.url, data=body, headers={"Authorization": f"Bearer {secret}"})
        try:
            with urllib.request.urlopen(request, timeout=100) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read()

    def announce(self, message_id: str) -> tuple[int, bytes]:
        return self.post(event_body(message_id))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(f"file:{self.folder / 'data/ledger.sqlite'}?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def until_settled(self, messages: int, *, timeout_seconds: float = 60) -> None:
        """Wait until so many messages are known and nothing of them is pending."""
        give_up = time.monotonic() + timeout_seconds
        while time.monotonic() < give_up:
            [(known, listing)] = self.rows("SELECT count(*), sum(status = 'pending') FROM events")
            [(pending,)] = self.rows("SELECT count(*) FROM attachments WHERE status = 'pending'")
            if known >= messages and not listing and not pending:
                return
            time.sleep(0.05)
        raise AssertionError(f"{known} messages, {listing} to list, {pending} to fetch.\n{self.log()[-3000:]}")

    def stored(self) -> list[Path]:
        return [
            path
            for path in self.files.rglob("*")
            if path.is_file() and ".incoming" not in path.parts and path.suffix != ".json"
        ]

    def temporaries(self) -> list[Path]:
        return list((self.files / ".incoming").iterdir())


def event_body(message_id: str, **changes: Any) -> bytes:
    someone = {"emailAddress": {"name": "Someone", "address": "someone@example.test"}}
    event = {
        "id": message_id,
        "event": "received",
        "internetMessageId": "<1@example.test>",
        "received": "2026-01-01T00:00:00Z",
        "mailbox": "invoices@example.test",
        "sender": someone,
        "from": someone,
        "to": [],
        "cc": [],
        "subject": "Invoice",
        "hasAttachments": True,
        "timestamp": "2026-01-01T00:00:00Z",
        "conversationId": "c",
    }
    return json.dumps({**event, **changes}).encode()
