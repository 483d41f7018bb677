"""A gateway and a collector as real processes on loopback, joined by a key and a webhook.

For end-to-end tests, benchmarks and the demo. Everything they write lies in one folder.
"""

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MAILBOX = "invoices@example.test"
_SCOPES = ("messages:read", "messages:content", "reporting")


class StackError(Exception):
    """A process did not start or a command failed; the message carries what it said."""


def free_port() -> int:
    """A loopback port that nothing listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Stack:
    """`prepare` once, then start, stop and kill the two programs as the test wants; leaving the context ends both.

    `gateway` and `collector` are settings by their dotted names, over those that the stack needs for itself.
    """

    folder: Path
    mailboxes: Sequence[str] = (MAILBOX,)
    gateway: Mapping[str, Any] = field(default_factory=dict)
    collector: Mapping[str, Any] = field(default_factory=dict)
    gateway_port: int = field(default_factory=free_port)
    collector_port: int = field(default_factory=free_port)
    api_key: str = ""
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    master_key: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(32)).decode())
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def config_file(self) -> Path:
        return self.folder / "satchel.toml"

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def collector_url(self) -> str:
        return f"http://127.0.0.1:{self.collector_port}"

    @property
    def files(self) -> Path:
        """Where the collector stores."""
        return self.folder / "files"

    def maildir(self, mailbox: str = MAILBOX) -> Path:
        return self.folder / "mail" / mailbox

    def prepare(self) -> None:
        """Mailboxes, settings, a key for all mailboxes and a webhook from the gateway to the collector."""
        for mailbox in self.mailboxes:
            for part in ("tmp", "new", "cur"):
                (self.maildir(mailbox) / part).mkdir(parents=True, exist_ok=True)
        self._write_settings()
        allowed = [word for mailbox in self.mailboxes for word in ("--mailbox", mailbox)]
        for mailbox in self.mailboxes:
            self.run("gateway", "mailboxes", "add", mailbox)
        scopes = [word for scope in _SCOPES for word in ("--scope", scope)]
        self.api_key = self.run("gateway", "keys", "create", "stack", *allowed, *scopes, "--expires", "30d").strip()
        webhook = f"{self.collector_url}/webhook"
        self.run(
            "gateway",
            "webhooks",
            "add",
            "stack",
            webhook,
            *allowed,
            environment={"SATCHEL_WEBHOOK_SECRET": self.secret},
        )
        self._write_settings()

    def configure(
        self, *, gateway: Mapping[str, Any] | None = None, collector: Mapping[str, Any] | None = None
    ) -> None:
        """Change settings; a program that runs sees them at its next start."""
        self.gateway = {**self.gateway, **(gateway or {})}
        self.collector = {**self.collector, **(collector or {})}
        self._write_settings()

    def _write_settings(self) -> None:
        gateway = {
            "listen_port": self.gateway_port,
            "data_dir": "data/gateway",
            "folder.path": "mail",
            "folder.settle_seconds": 0.2,
            "webhooks.allow_http": True,
            "webhooks.allowed_networks": ["127.0.0.0/8"],
            **self.gateway,
        }
        collector = {
            "listen_port": self.collector_port,
            "data_dir": "data/collector",
            "gateway_url": self.gateway_url,
            "webhook_secret": self.secret,
            "local.root": "files",
            **({"api_key": self.api_key} if self.api_key else {}),
            **self.collector,
        }
        lines = []
        for table, settings in (("gateway", gateway), ("collector", collector)):
            lines += [f"{table}.{name} = {json.dumps(value)}" for name, value in settings.items()]
        self.config_file.touch(0o600)
        self.config_file.write_text("\n".join(lines) + "\n", "utf-8")

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a `satchel` command on this stack's settings and give back its stdout. Raises StackError."""
        done = subprocess.run(
            [sys.executable, "-m", "satchel", *arguments],
            env=self._environment(environment),
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise StackError(f"satchel {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()

    def _environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        ours = {
            "SATCHEL_CONFIG": str(self.config_file),
            "SATCHEL_URL": self.gateway_url,
            "SATCHEL_MASTER_KEY": self.master_key,
        }
        if self.api_key:
            ours["SATCHEL_API_KEY"] = self.api_key
        return {**os.environ, **ours, **(more or {})}

    def start(self, program: str, *, wait_seconds: float = 30.0) -> subprocess.Popen[bytes]:
        """Start `gateway` or `collector` and wait until it answers; its log is `<folder>/<program>.log`."""
        with (self.folder / f"{program}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "satchel", program, "serve"],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[program] = process
        url = self.gateway_url if program == "gateway" else self.collector_url
        self._wait_until_ready(program, process, f"{url}/readyz", wait_seconds)
        return process

    def _wait_until_ready(self, program: str, process: subprocess.Popen[bytes], url: str, wait_seconds: float) -> None:
        give_up = time.monotonic() + wait_seconds
        while time.monotonic() < give_up:
            if process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
        said = (self.folder / f"{program}.log").read_text("utf-8", "replace")[-2000:]
        raise StackError(f"The {program} did not become ready. Its log ends with:\n{said}")

    def kill(self, program: str) -> None:
        """`kill -9`, and wait until it is gone."""
        self._end(program, signal.SIGKILL)

    def stop(self, program: str) -> int:
        """SIGTERM, and wait for its exit status; a program that does not stop within 60 s is killed."""
        return self._end(program, signal.SIGTERM)

    def _end(self, program: str, how: signal.Signals) -> int:
        process = self.processes.pop(program)
        process.send_signal(how)
        try:
            return process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for program in list(self.processes):
            self.stop(program)
