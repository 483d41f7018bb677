"""SIGTERM while a slow client downloads: what runs may end, what is new is refused, and the grace is kept."""

import hashlib
import http.client
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.testing.mail import SampleMessage, deliver, large_message
from tests.e2e.collector_process import CollectorProcess, event_body
from tests.e2e.gateway_process import Gateway, gateway
from tests.e2e.observe import rows, until

SIZE = 24 * 1024 * 1024


@dataclass
class Running:
    """A gateway with one large message, and a connection that was open before the stop."""

    gateway: Gateway
    sample: SampleMessage
    message_id: str
    attachment_id: str
    kept: http.client.HTTPConnection

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self.gateway.process is not None
        return self.gateway.process

    @property
    def path(self) -> str:
        return DOWNLOAD_ATTACHMENT.url(message_id=self.message_id, attachment_id=self.attachment_id)

    def get(self, path: str) -> requests.Response:
        """A call on a connection of its own."""
        return requests.get(self.gateway.url + path, headers=self.gateway.headers, timeout=20)


@contextmanager
def prepared(folder: Path, grace_seconds: int) -> Iterator[Running]:
    with gateway(folder, further={"shutdown_grace_seconds": grace_seconds}) as running:
        sample = large_message(SIZE)
        deliver(running.maildir, sample)
        running.start()
        query = "SELECT message_id FROM messages"
        ((message_id,),) = until(lambda: rows(running.folder / "data" / "gateway.db", query), "the message")
        kept = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=20)
        kept.request("GET", LIST_ATTACHMENTS.url(message_id=message_id), headers=running.headers)
        listed = requests.models.complexjson.loads(kept.getresponse().read())["attachments"]
        yield Running(running, sample, message_id, listed[0]["id"], kept)
        kept.close()


@contextmanager
def slow_download(running: Running) -> Iterator[http.client.HTTPResponse]:
    """An answer that has begun, and whose body waits for its client."""
    there = urlsplit(running.gateway.url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.settimeout(30)
        connection.connect((there.hostname, there.port))
        head = f"GET {running.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {running.gateway.key}\r\n\r\n"
        connection.sendall(head.encode())
        with http.client.HTTPResponse(connection) as response:
            response.begin()
            assert response.status == 200
            yield response


def stop(running: Running) -> None:
    """Ask it to, and wait until it has begun to."""
    running.process.send_signal(signal.SIGTERM)
    until(lambda: "draining" in running.gateway.log, "the begin of the draining")


def test_a_running_download_ends_and_new_calls_are_refused(tmp_path: Path) -> None:
    with prepared(tmp_path / "gateway", 60) as running, slow_download(running) as download:
        stop(running)
        listing = LIST_ATTACHMENTS.url(message_id=running.message_id)
        refused = running.get(listing)
        assert refused.status_code == 503
        assert refused.json()["error"]["reason"] == "stopping"
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["Connection"] == "close"
        running.kept.request("GET", listing, headers=running.gateway.headers)
        kept = running.kept.getresponse()
        assert (kept.status, kept.headers["Connection"]) == (503, "close")
        kept.read()
        ready = running.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"] == {"running": False, "store": True, "sources": True, "intake": True}
        assert running.get("/healthz").status_code == 200
        assert running.process.poll() is None
        assert hashlib.file_digest(download, "sha256").hexdigest() == running.sample.expected[0].sha256
        assert running.process.wait(30) == 0
        assert "cut_off" not in running.gateway.log
        assert "gateway_stopped" in running.gateway.log


def test_the_client_that_is_still_reading_the_last_bytes_gets_them(tmp_path: Path) -> None:
    """They have left the application long before: nothing that runs is left but a connection."""
    with prepared(tmp_path / "gateway", 60) as running, slow_download(running) as download:
        digest = hashlib.sha256(download.read(SIZE - 100_000))
        stop(running)
        time.sleep(0.5)
        digest.update(download.read())
        assert digest.hexdigest() == running.sample.expected[0].sha256
        assert running.process.wait(30) == 0


def test_a_download_that_takes_longer_than_the_grace_looks_short(tmp_path: Path) -> None:
    with prepared(tmp_path / "gateway", 1) as running, slow_download(running) as download:
        stop(running)
        assert running.process.wait(30) == 0
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            download.read()
        assert "cut_off" in running.gateway.log
        assert "call_failed" not in running.gateway.log


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with prepared(tmp_path / "gateway", 3600) as running, slow_download(running) as download:
        stop(running)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 0
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            download.read()


def test_with_nothing_under_way_the_gateway_ends_and_idle_connections_with_it(tmp_path: Path) -> None:
    with prepared(tmp_path / "gateway", 3600) as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 0
        assert "cut_off" not in running.gateway.log


def test_a_collector_that_drains_has_webhooks_come_again(tmp_path: Path) -> None:
    """In inline mode an answer waits for files, which a gateway that is not there never gives."""
    settings = {"mode": "inline", "inline_timeout_seconds": 4.0, "allow_http": True}
    running = CollectorProcess(tmp_path, "http://127.0.0.1:9", settings)
    running.start()
    try:
        process = running.process
        assert process is not None
        there = urlsplit(running.url)
        first = http.client.HTTPConnection(there.netloc, timeout=30)
        secret = {"Authorization": "Bearer a webhook secret for tests"}
        first.request("POST", there.path, event_body("m-1"), secret)
        until(lambda: "event_accepted" in running.log(), "the event")
        process.send_signal(signal.SIGTERM)
        until(lambda: "draining" in running.log(), "the begin of the draining")
        again = requests.post(running.url, event_body("m-2"), headers=secret, timeout=20)
        assert (again.status_code, again.json()["status"]) == (503, "error")
        assert int(again.headers["Retry-After"]) > 0
        assert again.headers["Connection"] == "close"
        assert requests.post(running.url, event_body("m-2"), timeout=20).status_code == 401
        assert requests.get(f"http://{there.netloc}/readyz", timeout=20).status_code == 503
        assert requests.get(f"http://{there.netloc}/healthz", timeout=20).status_code == 200
        assert first.getresponse().status == 503
        first.close()
        assert process.wait(30) == 0
        assert running.rows("SELECT count(*) FROM events") == [(1,)]
    finally:
        running.end(signal.SIGKILL)
