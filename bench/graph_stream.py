"""Eight downloads of 256 MiB from Graph over TLS through the gateway, beside nginx's proxy_pass to the same server.

Bodies come from nginx, so that the server is no limit; everything else that Graph answers comes from the simulator.
"""

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.graph_upstream import MAILBOX, Upstream, upstream
from bench.harness import MIB, PeakMemory, Result, best, less_is_better, more_is_better, process, wait_for, work_folder
from bench.proxy import nginx, streams
from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.testing.graph.certificates import make_server_certificate
from satchel.testing.mail import message_with_files
from satchel.testing.stack import Stack, free_port

SIZE = 256 * MIB
STREAMS = 8
TIMES = 5
START_SECONDS = 30
# What eight streams may hold above idle.
MEMORY_MIB = 40.0

BODIES = """\
  server {{
    listen 127.0.0.1:{port} ssl; access_log off;
    ssl_certificate {folder}/tls/server.pem; ssl_certificate_key {folder}/tls/server.pem;
    location ~ "/\\$value$" {{ root {folder}/www; default_type application/octet-stream; try_files /body =404; }}
    location / {{ proxy_pass {simulator}; proxy_set_header Host $http_host; }}
  }}
"""
PROXY = """\
  access_log {folder}/access.log;
  upstream graph {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass https://graph; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_max_temp_file_size 0;
  }} }}
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the gateway and nginx give the same file."""

    ours: str
    peer: str
    api_key: str
    process_id: int


@contextmanager
def setting(folder: Path, simulator: Upstream, transport: str, size: int) -> Iterator[Setting]:
    here = folder.resolve()
    (here / "www").mkdir(exist_ok=True)
    with (here / "www/body").open("wb") as file:
        file.truncate(size)
    tls = make_server_certificate(here / "tls")
    bodies, proxy = free_port(), free_port()
    stack = Stack(folder / "stack", (MAILBOX,), gateway={"rate_limit_per_minute": 10_000_000, "log.level": "info"})
    stack.folder.mkdir(parents=True)
    stack.prepare()
    base_url = f"https://127.0.0.1:{bodies}"
    arguments = {
        "config": str(stack.config_file),
        "base_url": base_url,
        "ca_file": str(tls.ca_file),
        "token": simulator.token,
        "message_ids": simulator.message_ids,
        "transport": transport,
    }
    (here / "gateway.json").write_text(json.dumps(arguments))
    with ExitStack() as running:
        servers = BODIES.format(folder=here, port=bodies, simulator=simulator.base_url)
        running.enter_context(process(nginx(folder, "bodies", servers), folder))
        servers = PROXY.format(folder=here, upstream=bodies, port=proxy)
        running.enter_context(process(nginx(folder, "proxy", servers), folder))
        wait_for(bodies)
        gateway = [sys.executable, "-m", "bench.graph_gateway", str(here / "gateway.json")]
        child = running.enter_context(process(gateway, folder))
        for port in (proxy, stack.gateway_port):
            wait_for(port, START_SECONDS)
        [message_id] = simulator.message_ids
        [listed] = _get(stack.gateway_url + LIST_ATTACHMENTS.url(message_id=message_id), stack.api_key)["attachments"]
        yield Setting(
            stack.gateway_url + DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=listed["id"]),
            f"http://127.0.0.1:{proxy}/v1.0/users/a/messages/m/attachments/x/$value",
            stack.api_key,
            child.pid,
        )


def _get(url: str, api_key: str) -> dict[str, list[dict[str, str]]]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {api_key}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, list[dict[str, str]]] = json.load(answer)
        return found


def run(*, transport: str = "aiohttp", size: int = SIZE, times: int = TIMES) -> list[Result]:
    with (
        work_folder("graph_stream") as folder,
        upstream([message_with_files(1, 1, 1000)], tls=False) as simulator,
        setting(folder, simulator, transport, size) as here,
    ):
        streams(here.ours, 1, here.api_key)
        theirs = ours = float("inf")
        with PeakMemory(here.process_id) as memory:
            # In turns: what else the machine does changes over a minute.
            for _ in range(times):
                theirs = min(theirs, best(lambda: streams(here.peer, STREAMS), 1))
                ours = min(ours, best(lambda: streams(here.ours, STREAMS, here.api_key), 1))
    rate = STREAMS * size / MIB
    name = "graph_stream" if transport == "aiohttp" else f"graph_stream_{transport}"
    return [
        more_is_better(name, rate / ours, rate / theirs, "nginx proxy_pass https", "MiB/s"),
        less_is_better(f"{name}_memory", max(0.1, memory.above_idle_mib), MEMORY_MIB, "the bound", "MiB above idle"),
    ]


def run_pyreqwest() -> list[Result]:
    """The same with another HTTP library behind the same client."""
    return run(transport="pyreqwest")
