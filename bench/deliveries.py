"""Webhooks delivered in a second by a gateway, beside a plain aiohttp loop that posts the same bodies.

What is to be delivered is in the index before the gateway starts; the time is the receivers', from the first POST to
the last answer. Both have one POST under way for each lane, a webhook and a mailbox.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import sqlalchemy as sa

from bench.harness import Result, more_is_better, process, wait_for, work_folder
from satchel.contract.events import EmailAddress, Recipient
from satchel.gateway.addresses import parse_networks
from satchel.gateway.sealing import MasterKey
from satchel.gateway.store.database import open_database
from satchel.gateway.store.mailboxes import mark_indexed
from satchel.gateway.store.messages import Arrival, record_arrivals
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, deliveries, mailboxes, messages, webhooks
from satchel.gateway.store.webhook_changes import remove_webhook
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.gateway.webhooks.egress import EgressPolicy
from satchel.gateway.webhooks.payload import message_event
from satchel.mail.source import MessageRef, MessageSummary
from satchel.testing.stack import MAILBOX, Stack, free_port

LANES = 10
ANSWER_SECONDS = 0.05
_SLICE = 500
_SENDER = Recipient(EmailAddress("Ann Example", "ann@example.test"))


@dataclass(frozen=True, slots=True)
class Load:
    """So many webhooks of so many mailboxes each, and messages in every mailbox; receivers answer after a time."""

    webhooks: int
    mailboxes: int
    messages: int
    answer_seconds: float

    @property
    def deliveries(self) -> int:
        return self.webhooks * self.mailboxes * self.messages

    def addresses(self) -> list[str]:
        return [MAILBOX, *(f"mailbox-{number}@example.test" for number in range(1, self.mailboxes))]


def summary(ref: MessageRef, number: int) -> MessageSummary:
    return MessageSummary(
        ref=ref,
        internet_message_id=f"<{ref.message_id}@example.test>",
        conversation_id=ref.message_id,
        received=datetime.now(UTC),
        sender=_SENDER,
        from_=_SENDER,
        to=[Recipient(EmailAddress("Invoices", ref.mailbox))],
        cc=[],
        subject=f"Invoice {number} of the month, with what belongs to it",
        has_attachments=True,
    )


def fill(engine: sa.Engine, stack: Stack, load: Load, url: str) -> None:
    """Webhooks, and messages that wait for being told of."""
    policy = EgressPolicy(allow_http=True, allowed_networks=parse_networks(["127.0.0.0/8"]))
    remove_webhook(engine, "stack")
    for number in range(load.webhooks):
        new = NewWebhook(f"w{number}", f"{url}/r{number}", load.addresses(), secret="s" * 16)
        add_webhook(engine, new, policy=policy, master_key=MasterKey.parse(stack.master_key))
    mark_indexed(engine, DEFAULT_ACCOUNT_ID, None)
    refs = [
        MessageRef(box, f"{box[:12]}-{number:06}", "") for number in range(load.messages) for box in load.addresses()
    ]
    for start in range(0, len(refs), _SLICE):
        arrivals = [Arrival(ref, summary(ref, number)) for number, ref in enumerate(refs[start : start + _SLICE])]
        record_arrivals(engine, DEFAULT_ACCOUNT_ID, arrivals)


def write_bodies(engine: sa.Engine, file: Path) -> None:
    """What the loop is to post: lane, URL and body of each delivery, in their order."""
    columns = (mailboxes.c.address, webhooks.c.url, deliveries.c.webhook_id)
    query = sa.select(messages, *columns).join_from(deliveries, messages).join(webhooks)
    query = query.join(mailboxes, mailboxes.c.id == messages.c.mailbox_id).order_by(messages.c.id)
    with engine.connect() as connection, file.open("w", encoding="utf-8") as lines:
        for row in connection.execute(query):
            body = msgspec.json.encode(message_event(row, row.address)).decode()
            lines.write(json.dumps([f"{row.webhook_id} {row.address}", row.url, body]) + "\n")


@contextmanager
def receivers(folder: Path, port: int, answer_seconds: float) -> Iterator[None]:
    with process([sys.executable, "-m", "bench.delivery_receivers", str(port), str(answer_seconds)], folder):
        wait_for(port)
        yield


def wait_for_all(port: int, load: Load, timeout_seconds: float = 600) -> float:
    """How many a second the receivers were told of, once they were told of all of it."""
    give_up = time.monotonic() + timeout_seconds
    while time.monotonic() < give_up:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
            seen = json.load(answer)
        if (count := sum(seen["posts"].values())) >= load.deliveries:
            if count > load.deliveries:
                raise SystemExit(f"{count} POSTs for {load.deliveries} deliveries")
            return float(count / seen["seconds"])
        time.sleep(0.2)
    raise SystemExit(f"not delivered within {timeout_seconds} s")


def measure(folder: Path, load: Load) -> tuple[float, float]:
    """Deliveries a second of the gateway, and of the loop."""
    port = free_port()
    bodies = folder / "bodies.jsonl"
    bounds = {"webhooks.max_parallel_per_webhook": LANES}
    with Stack(folder / "stack", load.addresses(), gateway=bounds) as stack:
        stack.folder.mkdir(parents=True)
        stack.prepare()
        engine = open_database(stack.folder / "data/gateway")
        fill(engine, stack, load, f"http://127.0.0.1:{port}")
        write_bodies(engine, bodies)
        with receivers(folder, port, load.answer_seconds):
            stack.start("gateway")
            ours = wait_for_all(port, load)
        check_history(engine, load)
        engine.dispose()
    with receivers(folder, port, load.answer_seconds):
        subprocess.run([sys.executable, "-m", "bench.delivery_loop", str(bodies)], check=True)
        theirs = wait_for_all(port, load)
    return ours, theirs


def check_history(engine: sa.Engine, load: Load) -> None:
    query = sa.select(deliveries.c.status, sa.func.count()).group_by(deliveries.c.status)
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        with engine.connect() as connection:
            counts = [tuple(row) for row in connection.execute(query)]
        if counts == [("delivered", load.deliveries)]:
            return
        time.sleep(0.1)
    raise SystemExit(f"the history says {counts}")


def compare(name: str, load: Load) -> Result:
    with work_folder(name) as folder:
        ours, theirs = measure(folder, load)
    return more_is_better(name, ours, theirs, "aiohttp loop", "deliveries/s")


def run(messages_in_lane: int = 300) -> Sequence[Result]:
    """Ten receivers of 50 ms; one webhook of ten mailboxes; ten receivers that answer at once."""
    return [
        compare("deliveries", Load(LANES, 1, messages_in_lane, ANSWER_SECONDS)),
        compare("deliveries_one_webhook", Load(1, LANES, messages_in_lane, ANSWER_SECONDS)),
        compare("deliveries_at_once", Load(LANES, 1, messages_in_lane, 0.0)),
    ]
