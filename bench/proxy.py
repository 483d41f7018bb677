"""The gateway in front of an HTTP upstream, beside nginx's proxy_pass to the same upstream: long streams, small
downloads and lists, and what the gateway's own checks cost."""

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.folder_download import curl
from bench.harness import (
    MIB,
    Result,
    best,
    less_is_better,
    more_is_better,
    peer_program,
    process,
    wait_for,
    work_folder,
)
from bench.upstream import MAILBOX, MESSAGE_ID, write_upstream
from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.testing.stack import Stack, free_port

BIG, SMALL = 1024 * MIB, 10_000
STREAMS = 8
CONNECTIONS = 50
LOAD_SECONDS = 5
TIMES = 3

NGINX = """\
daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log warn;
events {{ worker_connections 512; }}
http {{
  sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {servers}
}}
"""
UPSTREAM = "server {{ listen 127.0.0.1:{port}; root {folder}/www; access_log off; }}"
# With a line in its log for each call, as the gateway writes one.
PROXY = """\
  access_log {folder}/access.log;
  upstream mail {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://mail; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_max_temp_file_size 0;
  }} }}
"""


def nginx(folder: Path, name: str, servers: str) -> list[str]:
    program = peer_program("nginx", "nginx-light")
    config = folder.resolve() / f"{name}.conf"
    config.write_text(NGINX.format(folder=folder.resolve(), name=name, servers=servers))
    return [program, "-c", str(config), "-e", str(folder.resolve() / f"{name}.log")]


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw: calls a second, and the time of the middle and of the slowest hundredth, in ms."""

    per_second: float
    p50: float
    p99: float


def load(url: str, api_key: str = "") -> Load:
    """As many calls as 50 connections get through. Any answer but 200 ends the benchmark."""
    header = ["-H", f"Authorization: Bearer {api_key}"] if api_key else []
    wrk = [peer_program("wrk", "wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{LOAD_SECONDS}s", "--latency", *header, url]
    said = subprocess.run(wrk, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"calls failed under load:\n{said}")
    return Load(
        float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0]), _milliseconds(said, "50%"), _milliseconds(said, "99%")
    )


def _milliseconds(said: str, percentile: str) -> float:
    [(value, unit)] = re.findall(rf"^\s*{percentile}\s+([\d.]+)(us|ms|s)$", said, re.MULTILINE)
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def streams(url: str, count: int, api_key: str = "") -> None:
    """Read a URL several times at once. A stream that fails ends the benchmark."""
    with ThreadPoolExecutor(count) as readers:
        for reading in [readers.submit(curl, url, api_key=api_key) for _ in range(count)]:
            reading.result()


@dataclass(frozen=True, slots=True)
class Setting:
    """Where gateway, gateway without checks, and nginx answer."""

    checked: str
    unchecked: str
    peer: str
    api_key: str

    def download(self, name: str, *, checked: bool = True) -> str:
        path = DOWNLOAD_ATTACHMENT.url(message_id=MESSAGE_ID, attachment_id=name)
        return (self.checked if checked else self.unchecked) + path

    def listing(self, *, checked: bool = True) -> str:
        return (self.checked if checked else self.unchecked) + LIST_ATTACHMENTS.url(message_id=MESSAGE_ID)


@contextmanager
def setting(folder: Path) -> Iterator[Setting]:
    write_upstream(folder, {"big": BIG, "small": SMALL})
    upstream, proxy, unchecked = free_port(), free_port(), free_port()
    stack = Stack(folder / "stack", (MAILBOX,), gateway={"rate_limit_per_minute": 10_000_000, "log.level": "info"})
    stack.folder.mkdir(parents=True)
    stack.prepare()
    gateway = [sys.executable, "-m", "bench.proxied_gateway", str(stack.config_file), f"http://127.0.0.1:{upstream}"]
    with (
        process(nginx(folder, "upstream", UPSTREAM.format(folder=folder.resolve(), port=upstream)), folder),
        process(nginx(folder, "proxy", PROXY.format(folder=folder.resolve(), upstream=upstream, port=proxy)), folder),
        process(gateway, folder),
        process([*gateway, str(unchecked)], folder),
    ):
        for port in (upstream, proxy, stack.gateway_port, unchecked):
            wait_for(port)
        yield Setting(stack.gateway_url, f"http://127.0.0.1:{unchecked}", f"http://127.0.0.1:{proxy}", stack.api_key)


def run() -> list[Result]:
    with work_folder("proxy") as folder, setting(folder) as here:
        return [*long_streams(here), *small_downloads(here), *lists(here)]


def long_streams(here: Setting) -> list[Result]:
    results = []
    for name, count in (("proxy_stream", 1), (f"proxy_{STREAMS}_streams", STREAMS)):
        rate = count * BIG / MIB
        theirs = best(lambda count=count: streams(f"{here.peer}/big", count), TIMES)
        ours = best(lambda count=count: streams(here.download("big"), count, here.api_key), TIMES)
        results.append(more_is_better(name, rate / ours, rate / theirs, "nginx proxy_pass", "MiB/s"))
    return results


def small_downloads(here: Setting) -> list[Result]:
    theirs = load(f"{here.peer}/small")
    ours = load(here.download("small"), here.api_key)
    free = load(here.download("small", checked=False))
    nginx_name, free_name = "nginx proxy_pass", "the gateway without its checks"
    return [
        more_is_better("proxy_small", ours.per_second, theirs.per_second, nginx_name, "10 KB downloads/s"),
        less_is_better("proxy_small_p50", ours.p50, theirs.p50, nginx_name, "ms"),
        less_is_better("proxy_small_p99", ours.p99, theirs.p99, nginx_name, "ms"),
        more_is_better("proxy_small_checks", ours.per_second, free.per_second, free_name, "10 KB downloads/s"),
    ]


def lists(here: Setting) -> list[Result]:
    theirs = load(f"{here.peer}/list.json")
    ours = load(here.listing(), here.api_key)
    free = load(here.listing(checked=False))
    return [
        more_is_better("proxy_list", ours.per_second, theirs.per_second, "nginx proxy_pass", "lists/s"),
        more_is_better(
            "proxy_list_checks", ours.per_second, free.per_second, "the gateway without its checks", "lists/s"
        ),
    ]
