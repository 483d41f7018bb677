"""A receiver that answers every case of the contract's table, each at a path of its own, and keeps the time."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import trustme

from tests.contracts.webhook_receivers import shake_hands, speaking, speaking_at_most
from tests.e2e.http_double import serving

# Long enough for a busy machine to bring every request, and shorter in sum than what 429 asks for.
STALL_SECONDS = 5.0
RETRY_SECONDS = (0.2, 0.5)
_SUCCESS = b'{"status": "success", "message": "Done."}'


@dataclass(frozen=True, slots=True)
class Case:
    """What the receiver does, and what the contract makes of it.

    `error` None is success. `waits_seconds` are the shortest pauses between the attempts. `answer` is the beginning of
    what the history keeps; None where there was no answer.
    """

    status_code: int | None
    error: str | None
    final: str = "rejected"
    answer: bytes | None = b""
    headers: tuple[tuple[str, str], ...] = ()
    waits_seconds: tuple[float, ...] = ()

    @property
    def attempts(self) -> int:
        return len(self.waits_seconds) + 1


def _unreachable(error: str) -> Case:
    return Case(None, error, "failed", None, waits_seconds=RETRY_SECONDS)


CASES = {
    "success": Case(200, None, "delivered", _SUCCESS),
    "error": Case(200, "receiver_error", answer=b'{"status": "error", "message": "No."}'),
    "garbage": Case(200, "not_an_answer", answer=b"<html>\0\xff</html>"),
    "empty": Case(200, "not_an_answer"),
    "large": Case(200, "answer_too_long", answer=b"x" * 10_000_000),
    "created": Case(201, "http_201", answer=_SUCCESS),
    "no-content": Case(204, "http_204"),
    "found": Case(302, "http_302", headers=(("Location", "/redirected"),)),
    "bad-request": Case(400, "http_400", answer=b"what?"),
    "not-found": Case(404, "http_404"),
    "gone": Case(410, "http_410"),
    "busy-1": Case(429, "http_429", headers=(("Retry-After", "1"),), waits_seconds=(1, 1)),
    "busy-10": Case(429, "http_429", headers=(("Retry-After", "10"),), waits_seconds=(10, 10)),
    "busy-3600": Case(429, "http_429", headers=(("Retry-After", "3600"),), waits_seconds=(10, 10)),
    "busy": Case(429, "http_429"),
    "broken": Case(500, "http_500", "failed", waits_seconds=RETRY_SECONDS),
    "bad-gateway": Case(502, "http_502", "failed", b"upstream", waits_seconds=RETRY_SECONDS),
    "stalled": _unreachable("timeout"),
    "stalled-body": _unreachable("timeout"),
    "reset": _unreachable("disconnected"),
    "reset-body": _unreachable("disconnected"),
    "bad-certificate": _unreachable("certificate"),
    "old-tls": _unreachable("tls"),
    "nobody": _unreachable("cannot_connect"),
    "inside": Case(None, "refused_address", "failed", None),
}
# Where nothing of a request is seen: connections are counted instead, or there is nobody to count them.
WITHOUT_REQUESTS = {"bad-certificate", "old-tls"}
UNSEEN = {"nobody", "inside"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, and when it came and its answer began by the receiver's own clock."""

    headers: dict[str, str]
    body: bytes
    came_at: float
    answered_at: float


@dataclass
class Receiver:
    """Where each case is, and what came there."""

    urls: dict[str, str] = field(default_factory=dict)
    seen: dict[str, list[Seen]] = field(default_factory=dict)
    handshakes: dict[str, list[str | None]] = field(default_factory=dict)

    def waits_seconds(self, case: str) -> list[float]:
        """From each answer to the next request."""
        requests = self.seen[case]
        return [after.came_at - before.answered_at for before, after in pairwise(requests)]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """The receiver of all cases, on loopback."""
    receiver = Receiver(seen={name: [] for name in (*CASES, "redirected")})
    with ExitStack() as stack:
        handler = type("Handler", (_Handler,), {"seen": receiver.seen})
        base = stack.enter_context(serving(handler, _Server))
        receiver.urls = {name: f"{base}/{name}" for name in CASES}
        authority = trustme.CA()
        contexts = {
            "bad-certificate": speaking(authority.issue_cert("localhost")),
            "old-tls": speaking_at_most(ssl.TLSVersion.TLSv1_1, authority.issue_cert("localhost")),
        }
        for name, context in contexts.items():
            receiver.handshakes[name] = []
            port = stack.enter_context(_shaking_hands(context, receiver.handshakes[name]))
            receiver.urls[name] = f"https://localhost:{port}/"
        # Bound and not listening: nobody else gets the port meanwhile.
        unused = stack.enter_context(socket.socket())
        unused.bind(("127.0.0.1", 0))
        receiver.urls["nobody"] = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        receiver.urls["inside"] = base.replace("127.0.0.1", "127.0.0.2") + "/inside"
        yield receiver


class _Server(ThreadingHTTPServer):
    def shutdown_request(self, request: Any) -> None:
        # An orderly end first would make an end of a reset.
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are meant to."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: dict[str, list[Seen]]

    def do_POST(self) -> None:
        came_at = time.monotonic()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = self.path.lstrip("/")
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.seen[name].append(Seen(headers, body, came_at, time.monotonic()))
        with suppress(OSError):
            self._answer(name, CASES[name])

    def _answer(self, name: str, case: Case) -> None:
        if name.endswith("-body"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(_SUCCESS)
        if name.startswith("stalled"):
            time.sleep(STALL_SECONDS + 2)
        if name.startswith(("stalled", "reset")):
            self._reset()
            return
        assert case.status_code is not None
        self.send_response(case.status_code)
        for header, value in case.headers:
            self.send_header(header, value)
        if case.status_code != 204:
            self.send_header("Content-Length", str(len(case.answer or b"")))
        self.end_headers()
        self.wfile.write(case.answer or b"")

    def _reset(self) -> None:
        at_once = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def _shaking_hands(context: ssl.SSLContext, ends: list[str | None]) -> Iterator[int]:
    """The port of a server that speaks TLS and nothing behind it, and writes down what each handshake ended with."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            # Closing the socket ends it.
            with suppress(OSError):
                while True:
                    ends.append(shake_hands(listening, context))

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)
