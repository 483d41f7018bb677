"""Programs that go on with a download after a cut, or split it: curl, wget and aria2 as they are.

SATCHEL_TEST_RESUME_MIB sets the size of the file; 200 is what the suite promises, the default keeps it short.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from satchel.contract.routes import DOWNLOAD_ATTACHMENT
from satchel.testing.content import Generated, sha256
from satchel.testing.mail import deliver, large_message
from satchel.testing.stack import free_port
from tests.e2e.gateway_process import Gateway, gateway
from tests.e2e.observe import rows, until
from tests.services import need, need_curl

MIB = 1024 * 1024
SIZE = int(os.environ.get("SATCHEL_TEST_RESUME_MIB", "32")) * MIB
CONTENT = Generated(SIZE, 42)
DIGEST = sha256(CONTENT)
# Slow enough that a cut falls within the download, fast enough that the rest takes no second.
FIRST_BYTES_PER_SECOND = SIZE // 2


@dataclass
class Served:
    """A gateway on a port of its own, so that it comes back under the same URL, and the path of the one file."""

    gateway: Gateway
    path: str

    @property
    def url(self) -> str:
        return self.gateway.url + self.path

    @property
    def authorization(self) -> str:
        return f"Authorization: Bearer {self.gateway.key}"

    def etag(self) -> str:
        return requests.head(self.url, headers=self.gateway.headers, timeout=30).headers["ETag"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("resuming") / "gateway"
    with gateway(folder, further={"listen_port": free_port()}) as running:
        running.start()
        deliver(running.maildir, large_message(SIZE, 42))
        [(message_id,)] = until(
            lambda: rows(running.folder / "data" / "gateway.db", "SELECT message_id FROM messages"), "the message"
        )
        listed = requests.get(
            f"{running.url}/api/v1/messages/{message_id}/attachments", headers=running.headers, timeout=60
        ).json()
        [attachment] = listed["attachments"]
        path = DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=attachment["id"])
        yield Served(running, path)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cut(command: Sequence[str], target: Path) -> int:
    """Run a download and kill it at some point; how much of the file is there then."""
    enough = random.SystemRandom().randrange(SIZE // 10, SIZE // 2)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        give_up = time.monotonic() + 60
        while not (target.exists() and target.stat().st_size >= enough):
            assert process.poll() is None, "the download ended before it could be cut"
            assert time.monotonic() < give_up
            time.sleep(0.01)
        process.kill()
    size = target.stat().st_size
    assert enough <= size < SIZE
    return size


def sent_bytes(served: Served) -> list[int]:
    """The lengths of the bodies that the gateway logged since it was started."""
    lines = [line for line in served.gateway.log.splitlines() if line.startswith("{") and line.endswith("}")]
    return [line["body_bytes"] for line in map(json.loads, lines) if line["event"] == "request"]


def test_curl_goes_on_where_it_was_cut_though_the_gateway_was_killed_meanwhile(served: Served, tmp_path: Path) -> None:
    curl, target = need_curl(), tmp_path / "file"
    common = [curl, "--silent", "--show-error", "--fail", "-H", served.authorization, "-o", str(target)]
    cut([*common, "--limit-rate", str(FIRST_BYTES_PER_SECOND), served.url], target)
    etag = served.etag()
    served.gateway.end(signal.SIGKILL)
    served.gateway.start()
    assert served.etag() == etag
    before = target.stat().st_size
    done = subprocess.run(
        [*common, "-C", "-", "-w", "%{http_code} %{size_download}", served.url], capture_output=True, check=True
    )
    assert done.stdout.decode() == f"206 {SIZE - before}"
    assert digest(target) == DIGEST
    # Once more: there is nothing left to get, and curl knows.
    again = subprocess.run([*common, "-C", "-", "-w", "%{http_code}", served.url], capture_output=True, check=False)
    assert again.stdout.decode() == "416"
    assert digest(target) == DIGEST


def test_curl_resumes_a_connection_that_the_gateway_broke(served: Served, tmp_path: Path) -> None:
    curl, target = need_curl(), tmp_path / "file"
    common = [curl, "--silent", "--fail", "-H", served.authorization, "-o", str(target)]
    slow = [*common, "--limit-rate", str(FIRST_BYTES_PER_SECOND), served.url]
    with subprocess.Popen(slow) as process:
        until(lambda: target.exists() and target.stat().st_size > SIZE // 10, "a part of the file")
        served.gateway.end(signal.SIGKILL)
        assert process.wait(30) == 18
    assert 0 < target.stat().st_size < SIZE
    served.gateway.start()
    subprocess.run([*common, "-C", "-", served.url], check=True)
    assert digest(target) == DIGEST


def test_wget_goes_on_where_it_was_cut(served: Served, tmp_path: Path) -> None:
    wget, target = need("wget", "install Debian's package wget"), tmp_path / "file"
    common = [wget, "--no-verbose", "--no-proxy", "--tries=1", f"--header={served.authorization}", "-O", str(target)]
    # With -O wget -c appends to what is there.
    cut([*common, "-c", f"--limit-rate={FIRST_BYTES_PER_SECOND}", served.url], target)
    done = subprocess.run([*common, "-c", "--server-response", served.url], capture_output=True, check=True)
    assert b"206 Partial Content" in done.stderr
    assert digest(target) == DIGEST
    again = subprocess.run([*common, "-c", served.url], capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    assert digest(target) == DIGEST


def test_aria2_splits_and_goes_on_where_it_was_cut(served: Served, tmp_path: Path) -> None:
    aria2c, target = need("aria2c", "install Debian's package aria2"), tmp_path / "file"
    command = [
        *(aria2c, "--no-conf", "--quiet", "-x4", "-s4", "-k1M", "--file-allocation=none", "--auto-save-interval=1"),
        *(f"--header={served.authorization}", f"--dir={tmp_path}", "--out=file", "--allow-overwrite=false"),
    ]
    slow = [*command, f"--max-overall-download-limit={FIRST_BYTES_PER_SECOND}", served.url]
    control = tmp_path / "file.aria2"
    with subprocess.Popen(slow) as process:
        until(lambda: control.exists() and target.exists() and target.stat().st_size > 0, "a part of the file")
        # aria2 saves what it has of each part when it is interrupted.
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert control.exists(), "the download ended before it could be cut"
    subprocess.run([*command, "--continue=true", served.url], check=True)
    assert not control.exists()
    assert target.stat().st_size == SIZE
    assert digest(target) == DIGEST


def test_aria2_splits_a_download_in_one_go(served: Served, tmp_path: Path) -> None:
    aria2c = need("aria2c", "install Debian's package aria2")
    calls = len(sent_bytes(served))
    arguments = ["--no-conf", "--quiet", "-x4", "-s4", "-k1M", f"--header={served.authorization}", f"--dir={tmp_path}"]
    subprocess.run([aria2c, *arguments, "--out=file", served.url], check=True)
    assert digest(tmp_path / "file") == DIGEST
    parts = until(lambda: len(sent := sent_bytes(served)[calls:]) >= 4 and sent, "four requests in the log")
    assert sum(parts) < 2 * SIZE
