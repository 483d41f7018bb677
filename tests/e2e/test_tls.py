"""TLS in the gateway itself: the certificate, its renewal while the gateway runs, and files that cannot be used."""

import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests
import trustme

from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.testing.mail import deliver, large_message
from tests.e2e.gateway_process import Gateway, gateway
from tests.e2e.observe import rows, until

HOST = "127.0.0.1"
FILES = {"tls.certificate_file": "certificate.pem", "tls.key_file": "key.pem"}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.RSA)


def write(folder: Path, issued: trustme.LeafCert) -> None:
    """As certificate clients do: a new file in the place of the old one, the key after the certificate."""
    for name, pems in (("certificate.pem", issued.cert_chain_pems), ("key.pem", [issued.private_key_pem])):
        new = folder / f"{name}.new"
        new.write_bytes(b"".join(pem.bytes() for pem in pems))
        new.rename(folder / name)


@pytest.fixture
def running(tmp_path: Path, authority: trustme.CA) -> Iterator[Gateway]:
    with gateway(tmp_path / "gateway", further=FILES) as running:
        write(running.folder, authority.issue_cert(HOST, key_type=trustme.KeyType.RSA))
        yield running


def start(running: Gateway) -> int:
    """The port; `Gateway.start` would ask without TLS."""
    process = running.process = running.spawn()
    until(lambda: '"event":"listening"' in running.log or process.poll() is not None, "the listener")
    assert process.poll() is None, running.log
    (line,) = (line for line in running.log.splitlines() if '"event":"listening"' in line)
    return int(line.partition('"port":')[2].partition(",")[0])


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@contextmanager
def connected(port: int, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with (
        closing(socket.create_connection((HOST, port), timeout=10)) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        yield connection


def shown(port: int, context: ssl.SSLContext) -> tuple[bytes, str]:
    """The certificate that the gateway shows now, and the version of TLS."""
    with connected(port, context) as connection:
        certificate, version = connection.getpeercert(binary_form=True), connection.version()
    assert certificate is not None
    assert version is not None
    return certificate, version


def der(issued: trustme.LeafCert) -> bytes:
    return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())


def test_calls_over_tls(running: Gateway, authority: trustme.CA, tmp_path: Path) -> None:
    port = start(running)
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    url = f"https://{HOST}:{port}"
    until(lambda: requests.get(f"{url}/readyz", verify=str(bundle), timeout=10).status_code == 200, "readiness")
    answer = requests.get(f"{url}/api/v1/messages/x/attachments", verify=str(bundle), timeout=10)
    assert answer.status_code == 401
    assert answer.json()["_links"]["origin"]["href"].startswith(f"https://{HOST}:{port}/")
    assert "Server" not in answer.headers
    with pytest.raises(requests.RequestException):
        requests.get(f"http://{HOST}:{port}/healthz", timeout=10)
    assert shown(port, trusting(authority))[1] == "TLSv1.3"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
def test_nothing_older_than_tls_1_2(running: Gateway, authority: trustme.CA, version: ssl.TLSVersion) -> None:
    port = start(running)
    context = trusting(authority)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    # So that the client's own rules are not what refuses.
    context.set_ciphers("ALL:@SECLEVEL=0")
    if version is ssl.TLSVersion.TLSv1_2:
        assert shown(port, context)[1] == "TLSv1.2"
    else:
        with pytest.raises(ssl.SSLError):
            shown(port, context)


def test_renewed_files_are_taken_up_and_broken_ones_are_not(running: Gateway, authority: trustme.CA) -> None:
    port = start(running)
    context = trusting(authority)
    before = shown(port, context)[0]
    assert running.process is not None
    # Another kind of key: the old certificate must not stay beside the new one.
    renewed = authority.issue_cert(HOST, key_type=trustme.KeyType.ECDSA)
    write(running.folder, renewed)
    running.process.send_signal(signal.SIGHUP)
    until(lambda: "certificate_renewed" in running.log, "the renewal in the log")
    assert shown(port, context)[0] == der(renewed) != before
    only_rsa = trusting(authority)
    only_rsa.maximum_version = ssl.TLSVersion.TLSv1_2
    only_rsa.set_ciphers("aRSA")
    with pytest.raises(ssl.SSLError):
        shown(port, only_rsa)
    (running.folder / "key.pem").write_text("no key\n")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: "certificate_not_renewed" in running.log, "the refusal in the log")
    assert shown(port, context)[0] == der(renewed)
    assert running.process.poll() is None


def refusal(running: Gateway) -> str:
    """What the gateway says when it does not start."""
    assert running.spawn().wait(30) != 0
    return running.log


def test_files_that_cannot_be_used_stop_the_start(running: Gateway, authority: trustme.CA) -> None:
    other = authority.issue_cert(HOST, key_type=trustme.KeyType.RSA)
    (running.folder / "key.pem").write_bytes(other.private_key_pem.bytes())
    assert "KEY_VALUES_MISMATCH" in refusal(running)
    (running.folder / "key.pem").unlink()
    assert "key.pem cannot be read: No such file or directory" in refusal(running)
    if os.geteuid() != 0:
        (running.folder / "key.pem").touch(0o000)
        assert "key.pem cannot be read: Permission denied" in refusal(running)


def test_one_file_without_the_other_stops_the_start(tmp_path: Path) -> None:
    with gateway(tmp_path / "gateway", further={"tls.key_file": "key.pem"}) as running:
        assert "certificate_file and key_file are set together, or neither is" in refusal(running)


def test_a_large_download_comes_whole_though_its_client_is_slow_and_the_gateway_stops(
    running: Gateway, authority: trustme.CA
) -> None:
    sample = large_message(24 * 1024 * 1024)
    deliver(running.maildir, sample)
    port = start(running)
    query = "SELECT message_id FROM messages"
    ((message_id,),) = until(lambda: rows(running.folder / "data" / "gateway.db", query), "the message")
    assert running.process is not None
    with closing(http.client.HTTPSConnection(HOST, port, timeout=30, context=trusting(authority))) as connection:
        connection.request("GET", LIST_ATTACHMENTS.url(message_id=message_id), headers=running.headers)
        (listed,) = json.loads(connection.getresponse().read())["attachments"]
        download = DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=listed["id"])
        connection.request("GET", download, headers=running.headers)
        response = connection.getresponse()
        running.process.send_signal(signal.SIGTERM)
        until(lambda: "draining" in running.log, "the begin of the draining")
        assert hashlib.file_digest(response, "sha256").hexdigest() == sample.expected[0].sha256
    assert running.process.wait(30) == 0


def test_an_idle_client_under_tls_holds_up_no_stop(running: Gateway, authority: trustme.CA) -> None:
    """It need not answer the good-bye, and is not waited for."""
    port = start(running)
    with connected(port, trusting(authority)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert running.process is not None
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
