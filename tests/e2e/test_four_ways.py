"""curl, the public guide's client, `satchel fetch` and the collector get the same bytes from one announced message."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from satchel.testing.content import Generated
from satchel.testing.mail import deliver, file_part, message
from satchel.testing.stack import MAILBOX, Stack, free_port
from tests.e2e.observe import attachments, digest, download_path, gateway_rows, stored_count, stored_files, until
from tests.services import need_curl

SECRET = "the guide's own secret".replace(" ", "-")
FILES = {"invoice.pdf": 300_000, "請求書.pdf": 70_001, "large, with a comma.pdf": 3_000_000}


@contextmanager
def guide_receiver(stack: Stack, folder: Path) -> Iterator[None]:
    """The guide's client as a process, and a webhook of its own."""
    folder.mkdir()
    port = free_port()
    environment = {
        **os.environ,
        "BASE_URL": f"{stack.gateway_url}/api/v1",
        "API_KEY": stack.api_key,
        "WEBHOOK_SECRET": SECRET,
        "SAVE_DIR": str(folder),
        "PORT": str(port),
    }
    stack.run(
        *("gateway", "webhooks", "add", "guide", f"http://127.0.0.1:{port}/webhook", "--mailbox", MAILBOX),
        environment={"SATCHEL_WEBHOOK_SECRET": SECRET},
    )
    script = Path(__file__).with_name("guide_receiver.py")
    with (stack.folder / "guide.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, str(script)], env=environment, stdout=log, stderr=log)
    try:
        until(lambda: listens(port), "the guide's receiver")
        yield
    finally:
        process.terminate()
        process.wait(30)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_all_four_get_the_same_bytes(stack: Stack, tmp_path: Path) -> None:
    curl = need_curl()
    parts = [
        file_part(name, "application/pdf", Generated(size, seed)) for seed, (name, size) in enumerate(FILES.items())
    ]
    sample = message("four-ways", "For everybody", parts)
    expected = sorted(attachment.sha256 for attachment in sample.expected)
    stack.start("gateway")
    stack.start("collector")
    with guide_receiver(stack, tmp_path / "guide"):
        deliver(stack.maildir(), sample)
        until(lambda: stored_count(stack) == len(FILES), "the collector's files")
        until(lambda: delivered(stack) == 2, "both deliveries")
    [(message_id,)] = gateway_rows(stack, "SELECT message_id FROM messages")
    stack.run("fetch", message_id, "--to", str(tmp_path / "fetched"))
    (tmp_path / "curl").mkdir()
    for attachment in attachments(stack, message_id):
        url = stack.gateway_url + download_path(message_id, attachment["id"])
        authorization = f"Authorization: Bearer {stack.api_key}"
        subprocess.run([curl, "-fsSOJ", "-H", authorization, url], cwd=tmp_path / "curl", check=True)

    assert sorted(stored_files(stack).values()) == expected
    for way in ("guide", "fetched", "curl"):
        assert sorted(digest(path) for path in (tmp_path / way).iterdir()) == expected, way
    assert {path.name for path in (tmp_path / "fetched").iterdir()} == set(FILES)


def delivered(stack: Stack) -> int:
    [(count,)] = gateway_rows(stack, "SELECT count(*) FROM deliveries WHERE status = 'delivered'")
    return int(count)
