"""The gateway as people meet it: curl, the client of the public guide, signals, and a broken stream."""

import hashlib
import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from satchel.contract.headers import content_disposition, parse_content_disposition
from satchel.testing.content import Generated, Given
from satchel.testing.mail import SampleMessage, deliver, file_part, large_message, message
from tests.e2e.gateway_process import Gateway, gateway
from tests.e2e.observe import rows, until
from tests.services import need_curl

JAPANESE = "請求書 2026年1月.pdf"
PDF = Given(b"%PDF-1.7\n" + bytes(range(256)) * 300)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("e2e") / "gateway") as running:
        running.start()
        yield running


def mail(*names: str) -> SampleMessage:
    return message("files", "Files", [file_part(name, "application/pdf", PDF) for name in names])


def message_id(running: Gateway, sample: SampleMessage) -> str:
    """Deliver a message and give the id that the gateway found for it."""
    return delivered(running, sample)[0]


def delivered(running: Gateway, sample: SampleMessage) -> tuple[str, Path]:
    database, query = running.folder / "data" / "gateway.db", "SELECT message_id FROM messages"
    known = rows(database, query)
    path = deliver(running.maildir, sample)
    found = until(lambda: set(rows(database, query)) - set(known), "the message in the index")
    return str(found.pop()[0]), path


def attachments(running: Gateway, message: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{running.url}/api/v1/messages/{message}/attachments", headers=running.headers, timeout=30)
    assert answer.status_code == 200
    listed: list[dict[str, Any]] = answer.json()["attachments"]
    return listed


def download_url(running: Gateway, message: str, attachment: str) -> str:
    return f"{running.url}/api/v1/messages/{message}/attachments/{attachment}/download"


def whole(content: Given | Generated) -> bytes:
    return b"".join(content.pieces(0, content.size))


def test_curl_saves_files_under_their_names(running: Gateway, tmp_path: Path) -> None:
    curl = need_curl()
    names = ("invoice.pdf", "with space.pdf", JAPANESE)
    message = message_id(running, mail(*names))
    for attachment in attachments(running, message):
        target = tmp_path / attachment["id"]
        target.mkdir()
        url = download_url(running, message, attachment["id"])
        key = f"Authorization: Bearer {running.key}"
        subprocess.run([curl, "-fsSOJ", url, "-H", key], cwd=target, check=True, timeout=60)
        (saved,) = target.iterdir()
        assert saved.read_bytes() == whole(PDF)
        # curl knows `filename` only; for other than ASCII names that is the fallback.
        assert content_disposition(attachment["name"]).endswith(f'filename="{saved.name}"')


def test_curl_resumes(running: Gateway, tmp_path: Path) -> None:
    curl = need_curl()
    message = message_id(running, mail("invoice.pdf"))
    (attachment,) = attachments(running, message)
    target = tmp_path / "invoice.pdf"
    target.write_bytes(whole(PDF)[:1000])
    url = download_url(running, message, attachment["id"])
    key = f"Authorization: Bearer {running.key}"
    subprocess.run([curl, "-fsS", "-C", "-", "-o", str(target), url, "-H", key], check=True, timeout=60)
    assert target.read_bytes() == whole(PDF)


def test_the_loop_of_the_public_guide(running: Gateway, tmp_path: Path) -> None:
    """Contract section 12, in the words that people have copied."""
    message = message_id(running, mail("invoice.pdf", JAPANESE, "b.pdf"))
    saved = 0
    for attachment in attachments(running, message):
        if attachment["attachmentType"] != "fileAttachment" or attachment["contentType"] != "application/pdf":
            continue
        url = download_url(running, message, attachment["id"])
        with requests.get(url, headers=running.headers, stream=True, timeout=300) as response:
            response.raise_for_status()
            disposition = response.headers.get("Content-Disposition", "")
            name = attachment["name"]
            if "filename=" in disposition:
                name = disposition.split("filename=")[-1].strip('"')
            with (tmp_path / name).open("wb") as file:
                for chunk in response.iter_content(chunk_size=64 * 1024):
                    file.write(chunk)
            assert parse_content_disposition(disposition) == attachment["name"]
        assert (tmp_path / name).read_bytes() == whole(PDF)
        saved += 1
    assert saved == 3


def test_only_one_gateway_per_data_folder(running: Gateway) -> None:
    second = running.spawn("second.log")
    assert second.wait(30) != 0
    assert "Another gateway is running" in (running.folder / "second.log").read_text("utf-8")
    assert requests.get(f"{running.url}/healthz", timeout=5).status_code == 200


@contextmanager
def slow_download(running: Gateway, message: str, attachment: str) -> Iterator[http.client.HTTPResponse]:
    """An answer whose body the client has not begun to read, through a small receive buffer."""
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        path = download_url(running, message, attachment).removeprefix(running.url)
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {running.key}\r\n\r\n"
        connection.sendall(head.encode())
        with http.client.HTTPResponse(connection) as response:
            response.begin()
            yield response


def test_a_file_that_is_cut_while_it_is_sent_gives_a_short_body(running: Gateway) -> None:
    message, path = delivered(running, large_message(64 * 1024 * 1024))
    (attachment,) = attachments(running, message)
    with slow_download(running, message, attachment["id"]) as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) == 64 * 1024 * 1024
        os.truncate(path, 10 * 1024 * 1024)
        with pytest.raises(http.client.IncompleteRead):
            response.read()
    until(lambda: "answer_broken_off" in running.log, "the broken answer in the log")


def test_a_slow_client_costs_no_memory(running: Gateway) -> None:
    sample = large_message(200 * 1024 * 1024)
    message = message_id(running, sample)
    (attachment,) = attachments(running, message)
    assert running.process is not None
    process = psutil.Process(running.process.pid)
    idle = process.memory_info().rss
    digest, peak, size = hashlib.sha256(), idle, 0
    with slow_download(running, message, attachment["id"]) as response:
        for piece in iter(lambda: response.read(1024 * 1024), b""):
            digest.update(piece)
            size += len(piece)
            if size < 20 * 1024 * 1024:
                time.sleep(0.02)
            peak = max(peak, process.memory_info().rss)
    assert digest.hexdigest() == sample.expected[0].sha256
    assert peak - idle < 40 * 1024 * 1024


def test_clients_that_leave_are_let_go(running: Gateway) -> None:
    sample = large_message(64 * 1024 * 1024)
    message = message_id(running, sample)
    (attachment,) = attachments(running, message)
    assert running.process is not None
    process = psutil.Process(running.process.pid)
    before = len(process.open_files())
    for _ in range(20):
        with slow_download(running, message, attachment["id"]) as response:
            assert response.status == 200
    until(lambda: len(process.open_files()) <= before, "the mail files closed")
    assert "call_failed" not in running.log


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /api/v1/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
    ],
)
def test_what_is_no_request_gets_the_envelope_too(running: Gateway, request_bytes: bytes) -> None:
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request_bytes)
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert 400 <= response.status < 500
        assert b'"status":"error"' in response.read()


def test_endless_headers_are_refused(running: Gateway) -> None:
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ")
        with pytest.raises(ConnectionError):
            send_slowly(connection, b"x" * 4096, 1000)
    assert "request_refused" in running.log


def send_slowly(connection: socket.socket, piece: bytes, count: int) -> None:
    for _ in range(count):
        connection.sendall(piece)
        time.sleep(0.001)


def test_many_calls_at_once(running: Gateway) -> None:
    message = message_id(running, mail("invoice.pdf"))
    (attachment,) = attachments(running, message)
    url = download_url(running, message, attachment["id"])
    wrong: list[object] = []

    def fetch() -> None:
        with requests.Session() as session:
            for _ in range(20):
                answer = session.get(url, headers=running.headers, timeout=30)
                if (answer.status_code, answer.content) != (200, whole(PDF)):
                    wrong.append(answer.status_code)

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_stop_lets_a_running_download_end(tmp_path: Path) -> None:
    with gateway(tmp_path / "gateway") as running:
        running.start()
        stop_while_downloading(running)
        assert running.process is not None
        assert running.process.wait(30) == 0
        assert "gateway_stopped" in running.log


def stop_while_downloading(running: Gateway) -> None:
    sample = large_message(8 * 1024 * 1024)
    message = message_id(running, sample)
    (attachment,) = attachments(running, message)
    url = download_url(running, message, attachment["id"])
    digest = hashlib.sha256()
    with requests.get(url, headers=running.headers, stream=True, timeout=60) as response:
        pieces = response.iter_content(64 * 1024)
        digest.update(next(pieces))
        assert running.process is not None
        running.process.send_signal(signal.SIGTERM)
        for piece in pieces:
            digest.update(piece)
    assert digest.hexdigest() == sample.expected[0].sha256
