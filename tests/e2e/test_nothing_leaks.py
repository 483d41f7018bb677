"""Both programs are driven through all that they do, and say nothing of content, names, addresses or secrets.

Everything foreign has one word in it. It is searched for in all logs, in the metrics and in the traces, as it stands
and in the codings in which it travels.
"""

import base64
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from satchel.contract.routes import DOWNLOAD_ARCHIVE, DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.gateway.access import new_key
from satchel.testing.content import Generated, Given
from satchel.testing.mail import SampleMessage, deliver, file_part, message, text_part
from satchel.testing.stack import Stack, free_port
from tests.e2e.collector_process import event_body
from tests.e2e.leaks import leaks_in
from tests.e2e.observe import baseline_done, gateway_rows, stored_count, until
from tests.e2e.otlp_receiver import OtlpReceiver, otlp_receiver

WORD = "canary"
FOREIGN_WORD = "カナリア"
MAILBOX = f"{WORD}-mailbox@{WORD}.test"
FILE_NAMES = (f"{WORD}.pdf", f"{FOREIGN_WORD}.pdf", f'../{WORD}"\n;.exe')
LARGE = 6_000_000
NEXT_SECRET = f"{WORD}-next-webhook-secret"


def codings(word: bytes) -> list[bytes]:
    """A word as it is, and in base64 wherever it may begin."""
    found = [word.lower(), word.hex().encode()]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + word)
        # The first and the last characters depend on what is beside the word.
        found.append(encoded[-(-before * 8 // 6) : (before + len(word)) * 8 // 6])
    return found


WORDS = [*codings(WORD.encode()), *codings(FOREIGN_WORD.encode()), FOREIGN_WORD.encode("unicode_escape")]


@pytest.fixture
def traces() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture
def driven(tmp_path: Path, traces: OtlpReceiver) -> Iterator[Stack]:
    gateway = {
        "rate_limit_per_minute": 0,
        "log.level": "debug",
        "metrics.listen_port": free_port(),
        "tracing.otlp_endpoint": traces.url,
        "webhooks.sweep_seconds": 1,
        "webhooks.retry_seconds": [0.2, 0.5],
        "limits.failed_keys_per_minute": 30,
    }
    collector = {"log.level": "debug", "retry.base_seconds": 0.05, "sweep_seconds": 1.0}
    secret = f"{WORD}-webhook-secret"
    with Stack(tmp_path / "stack", [MAILBOX], gateway, collector, secret=secret) as stack:
        stack.folder.mkdir()
        stack.prepare()
        yield stack


def mail(name: str) -> SampleMessage:
    files = [file_part(one, "application/pdf", Given(f"{WORD} content ".encode() * 500)) for one in FILE_NAMES]
    sample = message(name, f"{WORD} {FOREIGN_WORD}", [*files, text_part(f"{WORD} second text\r\n")], f"{WORD} text\r\n")
    sender = f"{WORD} sender <{WORD}@{WORD}.test>"
    return SampleMessage(sample.name, sample.subject, sample.body, sender, MAILBOX)


def deep_mail() -> bytes:
    """Nested beyond every bound."""
    opened = "".join(f'Content-Type: multipart/mixed; boundary="{WORD}{n}"\r\n\r\n--{WORD}{n}\r\n' for n in range(2000))
    return f"From: {WORD}@{WORD}.test\r\nSubject: {WORD}\r\nMIME-Version: 1.0\r\n{opened}".encode()


def index(stack: Stack) -> dict[str, str]:
    """Message id by locator."""
    return dict(gateway_rows(stack, "SELECT locator, message_id FROM messages"))


def arrive(stack: Stack, mail: SampleMessage | bytes) -> tuple[str, Path]:
    known = set(index(stack).values())
    path = deliver(stack.maildir(MAILBOX), mail)
    return until(lambda: set(index(stack).values()) - known, "the message in the index").pop(), path


def hostile_headers() -> dict[str, str]:
    return {
        "User-Agent": WORD,
        "X-Request-Id": f"{WORD} with spaces",
        "X-Forwarded-For": WORD,
        "Referer": f"http://{WORD}.test/",
        "Cookie": f"{WORD}={WORD}",
        "traceparent": f"00-{WORD}",
        "tracestate": f"{WORD}={WORD}",
        "Host": f"{WORD}.test",
    }


def call_all(stack: Stack, message_id: str) -> None:
    """Every call of the API, as it is meant and as it is not."""
    headers = hostile_headers() | {"Authorization": f"Bearer {stack.api_key}"}

    def call(path: str, method: str = "GET", **more: str) -> requests.Response:
        return requests.request(method, stack.gateway_url + path, headers=headers | more, timeout=30)

    listing = LIST_ATTACHMENTS.url(message_id=message_id)
    listed: list[dict[str, Any]] = call(listing).json()["attachments"]
    assert {one["name"] for one in listed} >= {f"{WORD}.pdf", f"{FOREIGN_WORD}.pdf"}
    download = DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=listed[0]["id"])
    whole = call(download)
    assert (whole.status_code, call(download, "HEAD").status_code) == (200, 200)
    assert call(download, **{"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert call(download, Range="bytes=2-5").status_code == 206
    assert call(download, Range="bytes=99999999-").status_code == 416
    assert call(DOWNLOAD_ARCHIVE.url(message_id=message_id)).status_code == 200
    assert call(f"{listing}?{WORD}=1").status_code == 200
    for path in (f"/{WORD}", f"/api/v1/messages/{WORD}/attachments", f"{listing}/{WORD}/download"):
        assert call(path).status_code == 404
    assert call(listing, "POST").status_code == 405
    assert call("/", WORD.upper()).status_code in {400, 404}
    requests.post(stack.gateway_url + listing, json={WORD: WORD}, headers=headers, timeout=30)


def call_in_vain(stack: Stack, message_id: str) -> None:
    """Keys that are none, and what is no request; at last the address is refused unheard."""
    url = stack.gateway_url + LIST_ATTACHMENTS.url(message_id=message_id)
    no_scope = stack.run(
        "gateway", "keys", "create", WORD, "--mailbox", MAILBOX, "--scope", "reporting", "--expires", "1d"
    )
    assert requests.get(url, headers={"Authorization": f"Bearer {no_scope.strip()}"}, timeout=30).status_code == 403
    for given in (f"Bearer {WORD}", f"Basic {WORD}", f"Bearer {new_key()}", f"Bearer {WORD * 3000}"):
        assert requests.get(url, headers={"Authorization": given}, timeout=30).status_code == 401
    there = urlsplit(stack.gateway_url)
    for sent in (f"{WORD}\r\n\r\n", f"GET /{WORD} HTTP/1.1\r\n{WORD}\r\n\r\n", f"GET / HTTP/1.1\r\nX: {WORD * 11000}"):
        with socket.create_connection((there.hostname or "", there.port or 0), timeout=10) as connection:
            connection.sendall(sent.encode())
            assert connection.recv(1000)[:10] == b"HTTP/1.1 4"
    refused = {"Authorization": f"Bearer {WORD}"}
    until(lambda: requests.get(url, headers=refused, timeout=30).status_code == 429, "the refusal of the address")


def call_the_collector(stack: Stack) -> None:
    url = f"{stack.collector_url}/webhook"
    secret = {**hostile_headers(), "Authorization": f"Bearer {stack.secret}"}
    assert (
        requests.post(url, event_body("m"), headers={"Authorization": f"Bearer {WORD}"}, timeout=30).status_code == 401
    )
    assert requests.post(url, f'{{"{WORD}": '.encode(), headers=secret, timeout=30).status_code == 400
    other = event_body("m", event=WORD, subject=WORD, mailbox=MAILBOX)
    assert requests.post(url, other, headers=secret, timeout=30).status_code == 200
    unknown = event_body("unknown-message", subject=WORD, mailbox=MAILBOX)
    assert requests.post(url, unknown, headers=secret, timeout=30).status_code == 200
    requests.post(url, WORD.encode() * 1_000_000, headers=secret, timeout=30)


def break_off(stack: Stack) -> None:
    """A message that is cut while it is sent, and one that is gone."""
    sample = message(WORD, WORD, [file_part(f"{WORD}.bin", "application/octet-stream", Generated(LARGE, 1))])
    message_id, path = arrive(stack, sample)
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    listing = stack.gateway_url + LIST_ATTACHMENTS.url(message_id=message_id)
    (listed,) = requests.get(listing, headers=headers, timeout=30).json()["attachments"]
    there = urlsplit(stack.gateway_url)
    url = DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=listed["id"])
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.connect((there.hostname or "", there.port or 0))
        connection.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.api_key}\r\n\r\n".encode())
        connection.recv(100)
        os.truncate(path, 1_000_000)
        while connection.recv(1_000_000):
            pass
    path.unlink()
    assert requests.get(listing, headers=headers, timeout=30).status_code in {404, 502, 503}


def scraped(stack: Stack) -> bytes:
    port = stack.gateway["metrics.listen_port"]
    accepted = {"Accept": "application/openmetrics-text"}
    return requests.get(f"http://127.0.0.1:{port}/metrics", headers=accepted, timeout=30).content


def over_the_rate(stack: Stack, message_id: str) -> None:
    url = stack.gateway_url + LIST_ATTACHMENTS.url(message_id=message_id)
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    until(lambda: requests.get(url, headers=headers, timeout=30).status_code == 429, "the end of the rate")


def no_secret_is_kept_open(stack: Stack) -> None:
    """Neither in a database of the gateway nor in what SQLite keeps beside it while it runs."""
    files = {path.name: path.read_bytes() for path in (stack.folder / "data" / "gateway").iterdir() if path.is_file()}
    assert {"gateway.db", "gateway.db-wal", "durable.db"} <= files.keys()
    for name, data in files.items():
        for secret in (stack.secret, NEXT_SECRET, stack.master_key):
            assert not [word for word in (secret.encode(), *codings(secret.encode())) if word in data], name


def logs(stack: Stack) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in stack.folder.glob("*.log")}


def drive(stack: Stack) -> bytes:
    """Everything, with a kill and a restart in between; the metrics on the way."""
    stack.start("gateway")
    stack.start("collector")
    baseline_done(stack)
    message_id, _ = arrive(stack, mail("first"))
    arrive(stack, deep_mail())
    until(lambda: stored_count(stack) >= len(FILE_NAMES), "the files in the store")
    call_all(stack, message_id)
    break_off(stack)
    call_the_collector(stack)
    call_in_vain(stack, message_id)
    stack.run("gateway", "webhooks", "secret", "rotate", "stack", environment={"SATCHEL_WEBHOOK_SECRET": NEXT_SECRET})
    seen = scraped(stack)
    stack.kill("gateway")
    stack.kill("collector")
    stack.configure(gateway={"rate_limit_per_minute": 20})
    deliver(stack.maildir(MAILBOX), mail("second"))
    stack.start("collector")
    stack.start("gateway")
    until(lambda: stored_count(stack) >= 2 * len(FILE_NAMES), "the files of the second message")
    over_the_rate(stack, message_id)
    no_secret_is_kept_open(stack)
    seen += scraped(stack)
    assert (stack.stop("gateway"), stack.stop("collector")) == (0, 0)
    return seen


def test_logs_metrics_and_traces_hold_nothing_foreign(driven: Stack, traces: OtlpReceiver) -> None:
    metrics = drive(driven)
    said = {**logs(driven), "metrics": metrics, "traces": traces.text.encode()}
    # That there was something to be silent about.
    assert len(traces.spans) > 20
    assert b"satchel_gateway_source_errors_total" in metrics
    for event in (b"event_accepted", b"request_refused", b"answer_broken_off", b"delivery_attempted"):
        assert any(event in text for text in said.values()), event
    for name, text in said.items():
        for word in WORDS:
            assert word not in text, f"{word!r} in {name}"
            assert word not in text.lower(), f"{word!r} in {name}"
        secrets = [driven.api_key, driven.secret, driven.master_key, NEXT_SECRET, str(driven.folder)]
        found = leaks_in(text, secrets)
        assert not found, f"{name}: {found[:10]}"
