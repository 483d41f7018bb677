"""What can be seen of a stack from outside: its index, its ledger, its store, its API."""

import hashlib
import json
import sqlite3
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.testing.stack import Stack

Seen = TypeVar("Seen")


def until(look: Callable[[], Seen | None], what: str, *, timeout_seconds: float = 60) -> Seen:
    """Look again and again until there is something; fail with `what` when there never is."""
    give_up = time.monotonic() + timeout_seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < give_up, f"not seen within {timeout_seconds} s: {what}"
        time.sleep(0.05)


def rows(database: Path, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    if not database.exists():
        return []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query, parameters).fetchall()


def gateway_rows(stack: Stack, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    return rows(stack.folder / "data/gateway/gateway.db", query, *parameters)


def message_ids(stack: Stack, count: int) -> dict[str, str]:
    """File name → message id, as soon as the gateway has indexed so many messages."""

    def look() -> dict[str, str] | None:
        rows = gateway_rows(stack, "SELECT locator, message_id FROM messages")
        found = {unquote(locator.rpartition("/")[2]): message_id for locator, message_id in rows}
        return found if len(found) >= count else None

    return until(look, f"{count} messages in the index")


def baseline_done(stack: Stack) -> None:
    """What was in the mailboxes at first is indexed: what comes now is announced."""
    query = "SELECT count(*), sum(indexed_at IS NOT NULL) FROM mailboxes"
    until(lambda: (seen := gateway_rows(stack, query)) and seen[0][0] == seen[0][1], "the end of the baseline")


def stored_count(stack: Stack) -> int:
    """How many attachments the ledger says are stored."""
    query = "SELECT count(*) FROM attachments WHERE status = 'stored'"
    return sum(count for (count,) in rows(stack.folder / "data/collector/ledger.sqlite", query))


def ledger(stack: Stack, status: str | None = None) -> list[dict[str, Any]]:
    """The collector's ledger, by its own command."""
    options = ["--status", status] if status else []
    listed: list[dict[str, Any]] = json.loads(stack.run("collector", "list", "--json", *options))
    return listed


def stored_files(stack: Stack) -> dict[Path, str]:
    """Every file under its final name, with its SHA-256; sidecars and temporaries are not files of the store."""
    return {
        path: digest(path)
        for path in stack.files.rglob("*")
        if path.is_file() and ".incoming" not in path.parts and path.suffix != ".json"
    }


def temporaries(stack: Stack) -> list[Path]:
    return [path for path in (stack.files / ".incoming").glob("*") if path.is_file()]


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def call(stack: Stack, path: str) -> bytes:
    """A GET of the API with the stack's key."""
    request = urllib.request.Request(stack.gateway_url + path, headers={"Authorization": f"Bearer {stack.api_key}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        body: bytes = answer.read()
    return body


def attachments(stack: Stack, message_id: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(call(stack, LIST_ATTACHMENTS.url(message_id=message_id)))["attachments"]
    return listed


def download_path(message_id: str, attachment_id: str) -> str:
    return DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=attachment_id)
