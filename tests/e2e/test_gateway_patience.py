"""A gateway with little patience, and clients that stop in the middle of their request or of its answer."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from satchel.testing.mail import deliver, large_message
from tests.e2e.gateway_process import Gateway, gateway
from tests.e2e.observe import rows, until

SIZE = 40_000_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    further = {"request_timeout_seconds": 0.3, "client_stall_seconds": 0.3}
    with gateway(tmp_path_factory.mktemp("e2e") / "gateway", further=further) as running:
        deliver(running.maildir, large_message(SIZE))
        running.start()
        yield running


def connected(running: Gateway, sent: bytes) -> socket.socket:
    there = urlsplit(running.url)
    client = socket.socket()
    # Small, so that the client's system does not read in the client's place.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    client.settimeout(20)
    client.connect((there.hostname, there.port))
    client.sendall(sent)
    return client


def rest(client: socket.socket) -> bytes:
    """All that comes until the connection ends, in whichever way."""
    found = b""
    try:
        while piece := client.recv(1_000_000):
            found += piece
    except ConnectionResetError:
        pass
    return found


def open_mail(running: Gateway) -> list[str]:
    assert running.process is not None
    files = psutil.Process(running.process.pid).open_files()
    return [file.path for file in files if str(running.maildir) in file.path]


def test_a_client_that_stops_reading_is_cut_off_and_its_message_closed(running: Gateway) -> None:
    ((message,),) = until(
        lambda: rows(running.folder / "data" / "gateway.db", "SELECT message_id FROM messages"), "the message"
    )
    listing = f"/api/v1/messages/{message}/attachments"
    (listed,) = requests.get(running.url + listing, headers=running.headers, timeout=30).json()["attachments"]
    request = (
        f"GET {listing}/{listed['id']}/download HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {running.key}\r\n\r\n"
    )
    with connected(running, request.encode()) as client:
        head = client.recv(1000)
        assert head.startswith(b"HTTP/1.1 200 ")
        until(lambda: "client_stalled" in running.log, "the stall in the log")
        until(lambda: not open_mail(running), "the message closed")
        assert len(head + rest(client)) < SIZE


@pytest.mark.parametrize("sent", [b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_never_ends_is_answered_with_408(running: Gateway, sent: bytes) -> None:
    with connected(running, sent) as client:
        head, _, body = rest(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"408"' in body


def test_a_connection_that_brings_nothing_ends(running: Gateway) -> None:
    with connected(running, b"") as client:
        assert rest(client) == b""


def test_an_announced_body_that_never_comes_ends_the_connection(running: Gateway) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    with connected(running, head) as client:
        # What comes before the end does not matter; without an end the reading itself would time out.
        assert b"HTTP/1.1 200 " not in rest(client)
