"""The server's grace, which what ends after it shares."""

import signal
import time

import pytest
from starlette.applications import Starlette

from satchel.process.server import Server


def test_the_grace_runs_from_the_first_signal_and_ends_with_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    server = Server(Starlette(), host="127.0.0.1", port=0, grace_seconds=20)
    now = 1100.0
    assert server.grace_left_seconds == 20
    server.handle_exit(signal.SIGTERM, None)
    now = 1115.0
    assert server.grace_left_seconds == 5
    server.handle_exit(signal.SIGTERM, None)
    assert server.grace_left_seconds == 0


def test_the_grace_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    server = Server(Starlette(), host="127.0.0.1", port=0, grace_seconds=20)
    server.handle_exit(signal.SIGTERM, None)
    now = 1200.0
    assert server.grace_left_seconds == 0
