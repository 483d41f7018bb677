"""Hostile requests, byte by byte over sockets: no 5xx, no traceback, and every failure is the envelope.

`SATCHEL_RAW_HTTP_REQUESTS` is their number, `SATCHEL_RAW_HTTP_SEED` repeats a run.
"""

import json
import os
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import requests

from satchel.contract.errors import ErrorEnvelope
from satchel.contract.routes import DOWNLOAD_ARCHIVE, DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.testing.mail import deliver, file_part, message, message_with_message, tiny_pdf
from tests.e2e.gateway_process import Gateway, gateway
from tests.e2e.observe import rows, until

REQUESTS = int(os.environ.get("SATCHEL_RAW_HTTP_REQUESTS", "4000"))
SEED = int(os.environ.get("SATCHEL_RAW_HTTP_SEED", "1"))
# Many requests never become whole, and are waited for.
REQUEST_TIMEOUT_SECONDS = 0.5
READ_SECONDS = 10.0

METHODS = [b"GET"] * 12 + [b"HEAD"] * 4 + [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"PROPFIND"]
ODD_METHODS = [
    b"get",
    b"Get",
    b"BREW",
    b"G\x00T",
    b"",
    b"GET\t",
    b"CONNECT",
    b"PRI",
    b"\xff\xfe",
    b"GET " * 50,
    b"A" * 9000,
]
ODD_VERSIONS = [b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.", b"http/1.1", b"", b"X", b"HTTP/1.1 "]
ODD_IDS = [
    *b"%00 %2F .. %2e%2e%2f ..%2fetc % %zz %C0%AF %ED%A0%80 %FF%FE ' \" <script> ; * {0} %s%n \\ # ? &".split(),
    *b"null -1 1e309 archive download $(id) %252F a?b=c a;b=c %0d%0aSet-Cookie:x=y \xff\xfe \xe9 \x7f".split(),
    *(b"a b", b"\t", b"=" * 50, b"A" * 300, b"A" * 20_000, b"%41" * 5000, "請求書".encode(), "\u202e".encode()),
]
ODD_VALUES = [
    *b'* 0 -1 chunked Bearer ../../etc ${jndi:ldap://x} 100-continue websocket close 127.0.0.1, " a=b;c=d'.split(),
    *(b"", b" ", b"\t", b"a\tb", b"\xff" * 20, "請求書".encode(), b"," * 100, b"a" * 5000, b"9" * 400),
    *(
        b"close, keep-alive",
        b"Bearer " + b"x" * 3000,
        b"Basic Og==",
        b"bearer \xff",
        b"text/html;q=0.1",
        b"gzip;q=0, br",
    ),
]
CONTROL_VALUES = [b"\x00", b"\x01\x02", b"\x1b[31m", b"a\x0bb", b"\x7f", b"a\rb"]
RANGES = [
    *b"bytes=0-0 bytes=-1 bytes=-0 bytes=5- bytes=0-99999999999999999999 bytes=9-1 bytes=1-2,4-5 bytes=--1".split(),
    *b"bytes= lines=1-2 bytes=\xb2- bytes=1-2-3 BYTES=0-1 bytes=99999- bytes=0-10 bytes=-7".split(),
    *(b"bytes=" + b"0-0," * 500, b"bytes =0-1", b"bytes=-" + b"9" * 300, "bytes=١-٢".encode()),
]
TAGS = [
    *b'"x" W/"x" * " "" "a","b" *,* \xff'.split(),
    *(b'"' + b"x" * 3000 + b'"', b"Wed, 21 Oct 2015 07:28:00 GMT"),
]
HEADERS = (
    b"Accept Accept-Encoding Connection Content-Type Cookie Expect Forwarded If-Modified-Since Origin Referer TE "
    b"Trailer Upgrade User-Agent Via X-Forwarded-For X-Forwarded-Proto X-Request-Id traceparent Authorization Host "
    b"X-HTTP-Method-Override Content-Encoding"
).split()
CODINGS = [b"chunked", b"Chunked", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"xchunked", b"\x0bchunked"]
LENGTHS = [b"0", b"5", b"-1", b"+5", b"5, 5", b"5,6", b"0x5", b"9" * 30, b"", b"5 5", b"\xb2"]
CHUNKS = [
    *(b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n", b"zz\r\n", b"-1\r\n\r\n"),
    *(b"FFFFFFFFFFFFFFFFF\r\n", b"5\r\nhell", b"5\nhello\n0\n\n", b"hello", b"0\r\nA: " + b"b" * 70_000 + b"\r\n\r\n"),
]
ODD_LINES = [
    b" folded: a",
    b"\tfolded",
    b": no name",
    b"no colon",
    b"A : b",
    b"A\x00: b",
    b"A:b\rC: d",
    b"A: b\nC: d",
    b"\xff: b",
]
# Comes after every request on its connection, so that its end is seen without waiting for it.
LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Target:
    """What is there to be asked for."""

    port: int
    key: str
    paths: list[bytes]


class Generator:
    """Makes raw requests; the same seed makes the same."""

    def __init__(self, target: Target, seed: int) -> None:
        self._target = target
        self._random = random.Random(seed)
        self._shapes: list[tuple[int, Callable[[], bytes]]] = [
            (10, self._usual),
            (2, self._pipelined),
            (2, self._with_body),
            (1, self._framing),
            (1, self._large_head),
            (1, self._odd_lines),
            (1, self._garbage),
            (1, self._mutated),
        ]

    def next(self) -> bytes:
        weights = [weight for weight, _ in self._shapes]
        return self._random.choices([shape for _, shape in self._shapes], weights)[0]()

    def _usual(self) -> bytes:
        return self._head(self._method(), self._path(), self._version(), self._headers())

    def _method(self) -> bytes:
        return self._random.choice(METHODS if self._random.random() < 0.9 else ODD_METHODS)

    def _version(self) -> bytes:
        chance = self._random.random()
        return b"HTTP/1.1" if chance < 0.9 else b"HTTP/1.0" if chance < 0.95 else self._random.choice(ODD_VERSIONS)

    def _path(self) -> bytes:
        pick, chance = self._random.choice, self._random.random()
        path = pick(self._target.paths)
        if chance < 0.35:
            parts = path.split(b"/")
            parts[self._random.randrange(1, len(parts))] = pick(ODD_IDS)
            path = b"/".join(parts)
        elif chance < 0.45:
            path = path.replace(b"/", pick([b"//", b"%2F", b"/./", b"/../", b"\\"]))
        elif chance < 0.5:
            path = pick([b"*", b"", b"/", b"//evil.test/", b"?", b"#", b"evil.test:443", b"/" + b"a/" * 3000])
        elif chance < 0.55:
            path = pick([b"http://evil.test", b"HTTP://127.0.0.1", b"https://a@b:c", b"ftp://x", b"http://[::1"]) + path
        if self._random.random() < 0.2:
            path += b"?" + pick(ODD_VALUES).strip().replace(b" ", b"+")
        return path

    def _headers(self) -> list[bytes]:
        pick, chance = self._random.choice, self._random.random
        headers = [b"Host: 127.0.0.1"] if chance() < 0.95 else []
        if chance() < 0.8:
            headers.append(b"Authorization: Bearer " + self._target.key.encode())
        if chance() < 0.3:
            headers.append(b"Range: " + pick(RANGES))
        if chance() < 0.3:
            headers.append(pick([b"If-Range", b"If-None-Match", b"If-Match"]) + b": " + pick(TAGS))
        headers += [pick(HEADERS) + b": " + pick(ODD_VALUES) for _ in range(pick([0, 0, 1, 2, 5]))]
        if chance() < 0.03:
            headers.append(b"X: " + pick(CONTROL_VALUES))
        self._random.shuffle(headers)
        return headers

    def _head(self, method: bytes, path: bytes, version: bytes, headers: list[bytes], end: bytes = b"\r\n") -> bytes:
        return end.join([b" ".join([method, path, version]), *headers, b"", b""])

    def _pipelined(self) -> bytes:
        return b"".join(self._usual() for _ in range(self._random.randrange(2, 6)))

    def _with_body(self) -> bytes:
        body = self._random.randbytes(self._random.choice([0, 1, 100, 70_000]))
        if self._random.random() < 0.5:
            body = self._random.choice([b"{}", b'{"parameters": {}}', b"[" * 3000, b"\xff", b'"' + b"a" * 2000 + b'"'])
        headers = [*self._headers(), b"Content-Length: " + str(len(body)).encode(), b"Content-Type: application/json"]
        return self._head(self._random.choice([b"POST", b"GET", b"PUT"]), self._path(), b"HTTP/1.1", headers) + body

    def _framing(self) -> bytes:
        """Lengths and chunks that contradict themselves, or never end."""
        framing = [b"Content-Length: " + self._random.choice(LENGTHS) for _ in range(self._random.randrange(3))]
        if self._random.random() < 0.6:
            framing.append(b"Transfer-Encoding: " + self._random.choice(CODINGS))
        headers = [*self._headers(), *framing]
        return self._head(self._method(), self._path(), b"HTTP/1.1", headers) + self._random.choice(CHUNKS)

    def _large_head(self) -> bytes:
        size = self._random.choice([30_000, 60_000, 64_000, 66_000, 130_000])
        many = [b"X-%d: %s" % (number, b"y" * 20) for number in range(size // 30)]
        large = self._random.choice(
            [[b"X: " + b"y" * size], many, [b"y" * size + b": x"], [b"Cookie: " + b"a=b; " * (size // 5)]]
        )
        return self._head(b"GET", self._path(), b"HTTP/1.1", [*self._headers(), *large])

    def _odd_lines(self) -> bytes:
        headers = [*self._headers(), self._random.choice(ODD_LINES)]
        end = self._random.choice([b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r"])
        start = self._random.choice([b"", b"", b"\r\n", b"\n\n", b" ", b"\x00"])
        return start + self._head(self._method(), self._path(), self._version(), headers, end)

    def _garbage(self) -> bytes:
        tls = bytes.fromhex("16030100c8010000c40303")
        starts = [
            b"",
            tls,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"SSH-2.0-x\r\n",
            b"\x00",
            b"EHLO x\r\n",
            b"GET",
            b"GET /\r\n",
        ]
        return self._random.choice(starts) + self._random.randbytes(self._random.choice([0, 1, 50, 5000]))

    def _mutated(self) -> bytes:
        request = bytearray(self._usual())
        for _ in range(self._random.randrange(1, 8)):
            request[self._random.randrange(len(request))] = self._random.randrange(256)
        return bytes(request)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def exchange(port: int, request: bytes) -> bytes:
    """Send a request, and after it one that asks for the end of the connection; give all that comes until then."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=READ_SECONDS) as connection:
        try:
            connection.sendall(request + LAST)
            while data := connection.recv(1 << 16):
                received += data
        except (ConnectionResetError, BrokenPipeError):
            # The gateway need not read to the end of what it refuses.
            pass
    return received


def answers(received: bytes) -> Iterator[Answer]:
    """What was received, as HTTP. A body is as long as Content-Length says, or not there for an answer to HEAD."""
    while received:
        head, found, rest = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        started = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z -]*", lines[0])
        assert found, f"no whole head: {received[:200]!r}"
        assert started, f"no status line: {received[:200]!r}"
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        body = b""
        if not rest.startswith(b"HTTP/1.1 "):
            body = rest[: int(headers.get("content-length", "0"))]
        if started[1] != "100":
            yield Answer(int(started[1]), headers, body)
        received = rest[len(body) :]


def check(answer: Answer) -> None:
    assert answer.status < 500 or answer.status == 505
    assert re.fullmatch("[A-Za-z0-9._-]{1,64}", answer.headers["x-request-id"], re.ASCII)
    if answer.status >= 400:
        assert answer.headers["content-type"] == "application/json"
        assert len(answer.body) in {0, int(answer.headers["content-length"])}
        if answer.body:
            envelope = msgspec.json.decode(answer.body, type=ErrorEnvelope)
            assert envelope.error.code == str(answer.status)
            assert envelope.error.request_id is not None


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Gateway]:
    further = {
        "limits.failed_keys_per_minute": 0,
        "not_found_hold_seconds": 0,
        "request_timeout_seconds": REQUEST_TIMEOUT_SECONDS,
    }
    with gateway(tmp_path / "gateway", further=further) as running:
        running.start()
        yield running


def target_of(running: Gateway) -> Target:
    deliver(running.maildir, message("files", "Files", [file_part("a.pdf", "application/pdf", tiny_pdf("a"))]))
    deliver(running.maildir, message_with_message())
    query = "SELECT message_id FROM messages"
    database = running.folder / "data" / "gateway.db"
    found = until(lambda: len(ids := rows(database, query)) == 2 and ids, "the messages in the index")
    paths = ["/healthz", "/readyz", "/docs", "/docs/start.js", "/openapi.json", "/api/v1/nothing"]
    for (message_id,) in found:
        listing = LIST_ATTACHMENTS.url(message_id=message_id)
        listed = requests.get(running.url + listing, headers=running.headers, timeout=30).json()["attachments"]
        paths += [listing, DOWNLOAD_ARCHIVE.url(message_id=message_id)] * 3
        paths += [DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=one["id"]) for one in listed] * 20
    return Target(int(running.url.rpartition(":")[2]), running.key, [path.encode() for path in paths])


@pytest.mark.timeout(60 + REQUESTS // 20)
def test_hostile_requests_make_no_failure_of_ours(running: Gateway) -> None:
    target = target_of(running)
    generator, statuses = Generator(target, SEED), Counter[int]()
    started = time.monotonic()
    for number in range(REQUESTS):
        request, received = generator.next(), b""
        try:
            received = exchange(target.port, request)
            for answer in answers(received):
                statuses[answer.status] += 1
                check(answer)
        except Exception as error:
            error.add_note(f"request {number} of seed {SEED}: {request[:2000]!r}\nanswered: {received[:2000]!r}")
            raise
    print(f"{REQUESTS} requests, {statuses.total()} answers in {time.monotonic() - started:.0f} s: {statuses}")
    assert running.process is not None
    assert running.process.poll() is None
    assert requests.get(f"{running.url}/healthz", timeout=10).status_code == 200
    # The generator comes through to what is there.
    assert {200, 206, 304, 400, 401, 404, 405, 412, 416, 431} <= statuses.keys()
    # Each line is JSON: a traceback would be none. What fails in the server or a callback is told with its class alone.
    lines = [json.loads(line) for line in running.log.splitlines()]
    assert not [line for line in lines if line["event"] == "call_failed" or line.get("error")]
