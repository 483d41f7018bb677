"""Mailboxes filled for a measurement, and the ids that a client would have learnt from webhooks."""

import json
import sqlite3
import time
import urllib.request
from pathlib import Path

from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.testing.mail import deliver, large_message, message_with_files
from satchel.testing.stack import MAILBOX, Stack


def quiet_stack(folder: Path) -> Stack:
    """A prepared stack without a rate limit that logs warnings only."""
    quiet = {"log.level": "warning"}
    stack = Stack(folder / "stack", gateway={"rate_limit_per_minute": 0, **quiet}, collector=quiet)
    stack.folder.mkdir(parents=True)
    stack.prepare()
    return stack


def deliver_file(stack: Stack, size: int) -> Path:
    """One message with one attachment of `size` bytes."""
    return deliver(stack.maildir(), large_message(size))


def deliver_many(stack: Stack, messages: int, files: int, size: int) -> None:
    """Messages of some files each, every file different."""
    for number in range(messages):
        deliver(stack.maildir(), message_with_files(number, files, size))


def message_ids(stack: Stack, count: int) -> list[str]:
    """The ids of the first messages in the gateway's index, as soon as there are that many."""
    database = stack.folder / "data/gateway/gateway.db"
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            rows = connection.execute("SELECT message_id FROM messages ORDER BY id").fetchall()
        if len(rows) >= count:
            return [row[0] for row in rows[:count]]
        time.sleep(0.1)
    raise SystemExit(f"the gateway indexed fewer than {count} messages in two minutes")


def ids_in(stack: Stack, mailbox: str) -> list[str]:
    """The ids of a mailbox's messages in the gateway's index."""
    database = stack.folder / "data/gateway/gateway.db"
    query = "SELECT message_id FROM messages JOIN mailboxes ON mailboxes.id = mailbox_id WHERE address = ?"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return [row[0] for row in connection.execute(query, (mailbox,))]


def only_attachment(stack: Stack, message_id: str) -> str:
    """The path of the download of a message's only attachment."""
    request = urllib.request.Request(
        stack.gateway_url + LIST_ATTACHMENTS.url(message_id=message_id),
        headers={"Authorization": f"Bearer {stack.api_key}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        [attachment] = json.load(answer)["attachments"]
    return DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=attachment["id"])


def event(message_id: str) -> bytes:
    """The webhook body that announces a message."""
    nobody = {"emailAddress": {"name": "", "address": "sender@example.test"}}
    return json.dumps(
        {
            "id": message_id,
            "event": "received",
            "internetMessageId": f"<{message_id}@example.test>",
            "received": "2026-01-01T00:00:00Z",
            "mailbox": MAILBOX,
            "sender": nobody,
            "from": nobody,
            "to": [],
            "cc": [],
            "subject": "bench",
            "hasAttachments": True,
            "timestamp": "2026-01-01T00:00:00Z",
            "conversationId": message_id,
        }
    ).encode()


def post_event(stack: Stack, message_id: str) -> None:
    """Announce a message to the collector, as the gateway would."""
    request = urllib.request.Request(
        f"{stack.collector_url}/webhook",
        data=event(message_id),
        headers={"Authorization": f"Bearer {stack.secret}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=100) as answer:
        if json.load(answer)["status"] != "success":
            raise SystemExit("the collector did not accept an event")


def wait_until_stored(stack: Stack, count: int, *, timeout_seconds: float = 600) -> None:
    """Until the ledger says that so many attachments are stored."""
    database = stack.folder / "data/collector/ledger.sqlite"
    give_up = time.monotonic() + timeout_seconds
    while time.monotonic() < give_up:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            [[stored]] = connection.execute("SELECT count(*) FROM attachments WHERE status = 'stored'").fetchall()
        if stored >= count:
            return
        time.sleep(0.05)
    raise SystemExit(f"the ledger holds {stored} stored attachments of {count}")
