"""1,000 clients that read 100 KB a second each, and 100 more that stop reading, on one gateway: its memory above idle,
beside nginx serving the decoded file to the same clients. A client that fails ends the benchmark."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench.folder_download import curl
from bench.harness import MIB, PeakMemory, Result, less_is_better, peer_program, process, wait_for, work_folder
from bench.setting import deliver_file, message_ids, only_attachment, quiet_stack
from satchel.testing.content import Generated
from satchel.testing.stack import Stack, free_port

CLIENTS = 1000
STOPPED = 100
BYTES_PER_SECOND = 100_000
SECONDS = 20
# More than a client reads and the kernel buffers together, so that every stream is open to the end.
SIZE = 24 * MIB
CHILDREN = 2

_RECEIVE_BUFFER_BYTES = 16 * 1024
_HEAD_END = b"\r\n\r\n"

NGINX = """\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}/www; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one child process does: so many paced readers of a URL, so many that stop, for so long."""

    url: str
    api_key: str
    clients: int
    stopped: int
    seconds: int


class Failed(Exception):
    """What a client got wrong; the message says what."""


class Reader:
    """One client on a raw socket with a small buffer. It compares every byte with what the file must hold."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._content = Generated(SIZE)
        self.received_bytes = 0

    async def open(self) -> socket.socket:
        """Send the request and read the head. Raises Failed."""
        parts = urlsplit(self._load.url)
        loop = asyncio.get_running_loop()
        opened = socket.socket()
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        opened.setblocking(False)
        await loop.sock_connect(opened, (parts.hostname, parts.port))
        request = f"GET {parts.path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self._load.api_key}\r\n\r\n"
        await loop.sock_sendall(opened, request.encode())
        head = b""
        while _HEAD_END not in head:
            data = await loop.sock_recv(opened, 4096)
            if not data:
                raise Failed("the connection ended before the head")
            head += data
        head, _, body = head.partition(_HEAD_END)
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise Failed(head.split(b"\r\n")[0].decode())
        self._take(body)
        return opened

    async def read(self, opened: socket.socket, begun: float) -> None:
        """Read at the pace until the time is over. Raises Failed where the bytes are wrong or do not come."""
        loop = asyncio.get_running_loop()
        while (elapsed := time.monotonic() - begun) < self._load.seconds:
            ahead_bytes = self.received_bytes - elapsed * BYTES_PER_SECOND
            if ahead_bytes > 0:
                await asyncio.sleep(ahead_bytes / BYTES_PER_SECOND)
            data = await loop.sock_recv(opened, _RECEIVE_BUFFER_BYTES)
            if not data:
                raise Failed(f"the connection ended after {self.received_bytes} bytes")
            self._take(data)
        if self.received_bytes < 0.8 * self._load.seconds * BYTES_PER_SECOND:
            raise Failed(f"only {self.received_bytes} bytes came")

    def _take(self, data: bytes) -> None:
        stop = self.received_bytes + len(data)
        if data != b"".join(self._content.pieces(self.received_bytes, stop)):
            raise Failed(f"wrong bytes after {self.received_bytes}")
        self.received_bytes = stop


async def read_slowly(load: Load) -> list[str]:
    """Why clients failed, one line for each that did."""
    readers = [Reader(load) for _ in range(load.clients + load.stopped)]
    gate = asyncio.Semaphore(100)

    async def opened(reader: Reader) -> socket.socket:
        async with gate:
            return await reader.open()

    # The stopped ones first: all others have to get by beside them.
    sockets = await asyncio.gather(*map(opened, reversed(readers)))
    sockets.reverse()
    begun = time.monotonic()
    paced = zip(readers[: load.clients], sockets, strict=False)
    results = await asyncio.gather(*(reader.read(one, begun) for reader, one in paced), return_exceptions=True)
    for one in sockets:
        one.close()
    return [f"{type(result).__name__}: {result}" for result in results if isinstance(result, BaseException)]


def load_with(url: str, api_key: str) -> None:
    """Run all clients, in child processes. A failure of any ends the benchmark."""
    load = Load(url, api_key, CLIENTS // CHILDREN, STOPPED // CHILDREN, SECONDS)
    command = [sys.executable, "-m", "bench.slow_clients", json.dumps(asdict(load))]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(CHILDREN)]
    outputs = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        raise SystemExit("a process of slow clients failed")
    failures: list[str] = [line for output in outputs for line in json.loads(output)]
    if failures:
        raise SystemExit(f"{len(failures)} of {CLIENTS} slow clients failed; the first: {failures[0]}")


def measured(process_id: int, url: str, api_key: str) -> float:
    with PeakMemory(process_id) as memory:
        load_with(url, api_key)
    return memory.above_idle_mib


def prepared(folder: Path) -> Stack:
    stack = quiet_stack(folder)
    places = CLIENTS + STOPPED + 10
    stack.configure(gateway={"limits.downloads": places, "limits.downloads_per_key": places})
    return stack


def run() -> list[Result]:
    with work_folder("slow_clients") as folder, prepared(folder) as stack:
        deliver_file(stack, SIZE)
        gateway = stack.start("gateway")
        [message_id] = message_ids(stack, 1)
        url = stack.gateway_url + only_attachment(stack, message_id)
        (folder / "www").mkdir()
        curl(url, api_key=stack.api_key, output=str(folder / "www/file"))
        ours = measured(gateway.pid, url, stack.api_key)
        port = free_port()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder.resolve(), port=port))
        program = peer_program("nginx", "nginx-light")
        config, log = str((folder / "nginx.conf").resolve()), str((folder / "nginx.log").resolve())
        with process([program, "-c", config, "-e", log], folder) as nginx:
            wait_for(port)
            [worker] = psutil.Process(nginx.pid).children()
            theirs = measured(worker.pid, f"http://127.0.0.1:{port}/file", "")
    return [less_is_better("slow_clients", ours, theirs, "nginx, decoded file", "MiB above idle")]


def main(arguments: Sequence[str]) -> None:
    """The child process: its load as JSON, its failures as JSON."""
    print(json.dumps(asyncio.run(read_slowly(Load(**json.loads(arguments[0]))))))


if __name__ == "__main__":
    main(sys.argv[1:])
