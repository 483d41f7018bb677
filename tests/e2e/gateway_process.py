"""A gateway as a process of its own, administered through its database as the command line does, and a receiver."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import requests

from satchel.contract.scopes import Scope
from satchel.gateway.addresses import parse_networks
from satchel.gateway.sealing import MasterKey, new_master_key
from satchel.gateway.store.database import open_database
from satchel.gateway.store.keys import create_key
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.gateway.webhooks.egress import EgressPolicy
from tests.e2e.http_double import serving

MAILBOX = "invoices@example.test"
LOOPBACK_NETWORKS = ["127.0.0.0/8", "::1"]
LOOPBACK = parse_networks(LOOPBACK_NETWORKS)
MASTER_KEY_TEXT = new_master_key()
MASTER_KEY = MasterKey.parse(MASTER_KEY_TEXT)
_RUN = (
    "import sys; from pathlib import Path; from satchel.gateway.app import run; "
    "from satchel.gateway.settings import GatewaySettings; "
    "run(GatewaySettings.load(Path(sys.argv[1])), api_only=sys.argv[2:] == ['--api-only'])"
)


@dataclass
class Gateway:
    """Start, stop and kill it as often as the test wants; `url` changes with every start.

    With `options` and a `log_name` of its own it can be a second process on the folder of another.
    """

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    key: str = ""
    options: tuple[str, ...] = ()
    log_name: str = "log"

    @property
    def maildir(self) -> Path:
        return self.folder / "mail" / MAILBOX

    @property
    def log(self) -> str:
        return (self.folder / self.log_name).read_text("utf-8")

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def prepare(self, webhook_url: str | None = None, further: Mapping[str, object] | None = None) -> None:
        for part in ("tmp", "new", "cur"):
            (self.maildir / part).mkdir(parents=True)
        settings = {
            "listen_port": 0,
            "data_dir": "data",
            "rate_limit_per_minute": 0,
            "folder.path": "mail",
            "webhooks.allow_http": True,
            "webhooks.allowed_networks": LOOPBACK_NETWORKS,
            "webhooks.retry_seconds": [0.2, 0.5],
            "webhooks.sweep_seconds": 1,
            **(further or {}),
        }
        lines = [f"gateway.{name} = {json.dumps(value)}" for name, value in settings.items()]
        (self.folder / "satchel.toml").write_text("\n".join(lines) + "\n", "utf-8")
        engine = open_database(self.folder / "data")
        add_mailbox(engine, MAILBOX)
        expires_at = datetime.now(UTC) + timedelta(days=1)
        self.key, _ = create_key(engine, "test", scopes=list(Scope), mailboxes=[MAILBOX], expires_at=expires_at)
        if webhook_url is not None:
            add_webhook(
                engine,
                NewWebhook("test", webhook_url, [MAILBOX], secret="s" * 16),
                policy=EgressPolicy(allow_http=True, allowed_networks=LOOPBACK),
                master_key=MASTER_KEY,
            )
        engine.dispose()

    def spawn(self, log_name: str | None = None) -> subprocess.Popen[bytes]:
        with (self.folder / (log_name or self.log_name)).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-c", _RUN, str(self.folder / "satchel.toml"), *self.options],
                stdout=log,
                stderr=log,
                env={**os.environ, "SATCHEL_MASTER_KEY": MASTER_KEY_TEXT},
            )

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.process = self.spawn()
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up and self.process.poll() is None:
            listening = re.search(r'"port": ?(\d+), ?"event": ?"listening"', self.log)
            if listening is not None:
                self.url = f"http://127.0.0.1:{listening[1]}"
                if requests.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"the gateway did not become ready:\n{self.log}")

    def end(self, how: signal.Signals) -> int:
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(how)
        return process.wait(30)


@contextmanager
def gateway(
    folder: Path, webhook_url: str | None = None, further: Mapping[str, object] | None = None
) -> Iterator[Gateway]:
    """A prepared gateway with further settings, ended with the block."""
    folder.mkdir()
    running = Gateway(folder)
    running.prepare(webhook_url, further)
    try:
        yield running
    finally:
        if running.process is not None:
            running.end(signal.SIGKILL)


@dataclass
class Receiver:
    """Counts the messages that are announced to it, and keeps the ids of their deliveries; refuses the first
    announcement of each with 503 if `is_moody`."""

    url: str = ""
    is_moody: bool = False
    ids: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    webhook_ids: dict[str, set[str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, body: bytes, webhook_id: str) -> tuple[int, bytes]:
        message_id = json.loads(body)["id"]
        with self.lock:
            self.webhook_ids.setdefault(message_id, set()).add(webhook_id)
            self.ids.append(message_id)
            if self.is_moody and self.ids.count(message_id) == 1:
                return 503, b"later"
            self.accepted.append(message_id)
        return 200, b'{"status": "success", "message": ""}'


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A webhook receiver in a thread."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = state.answer(
                self.rfile.read(int(self.headers["Content-Length"])), self.headers["webhook-id"]
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with serving(Handler) as url:
        state.url = f"{url}/webhook"
        yield state
