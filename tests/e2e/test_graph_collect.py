"""Mail from Microsoft 365 through the gateway into the collector, while Graph does what it does on its bad days.

SATCHEL_TEST_GRAPH_MESSAGES sets how many messages there are (60). From 500 on there are also files of 40 MB and one of
150 MB, and messages with so many attachments that their list has several pages of a hundred: that takes some minutes
and two GB of disk.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from satchel.contract.scopes import Scope
from satchel.gateway.sealing import MasterKey
from satchel.gateway.store.database import open_database
from satchel.gateway.store.keys import create_key
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.gateway.webhooks.egress import EgressPolicy
from satchel.testing.content import Generated, sha256
from satchel.testing.mail import SampleMessage, file_part, message
from satchel.testing.stack import Stack
from tests.e2e.gateway_process import LOOPBACK
from tests.e2e.graph_process import GraphProcess, graph_process
from tests.e2e.observe import baseline_done, gateway_rows, ledger, stored_count, stored_files, temporaries, until

MESSAGES = int(os.environ.get("SATCHEL_TEST_GRAPH_MESSAGES", "60"))
IS_FULL = MESSAGES >= 500
TIMEOUT_SECONDS = 1800 if IS_FULL else 120
MB = 1_000_000
# As many as let the pauses that Graph asks for pass beside each other.
MAILBOXES = tuple(f"department-{number}@example.test" for number in range(10))
TYPES = ("application/pdf", "application/octet-stream", "image/tiff", "text/csv")
FAULTS: dict[str, Any] = {
    "reset": {"chance": 0.05, "routes": ["content"]},
    "throttle": 0.1,
    "retry_after_seconds": 1,
    "lose_notification": 0.1,
    "duplicate_notification": 0.2,
    "attachments_per_page": 100 if IS_FULL else 3,
}
MOST_AT_ONCE = 4

pytestmark = pytest.mark.timeout(TIMEOUT_SECONDS + 300)


@dataclass(frozen=True, slots=True)
class Planned:
    """A message to deliver. No two files of the test are the same."""

    mailbox: str
    sizes: tuple[int, ...]
    first_seed: int

    @property
    def contents(self) -> list[Generated]:
        return [Generated(size, self.first_seed + at) for at, size in enumerate(self.sizes)]

    def sample(self, number: int) -> SampleMessage:
        # The same names again and again, as suppliers give them.
        parts = [file_part(f"scan {at % 5}.pdf", TYPES[at % 4], each) for at, each in enumerate(self.contents)]
        return message(f"m{number}", f"Message {number}", parts)


def planned() -> list[Planned]:
    chance = random.Random(365)
    sizes = [[_small(chance) for _ in range(chance.randint(1, 8))] for _ in range(MESSAGES)]
    if IS_FULL:
        for number in range(8):
            sizes[number * 50 + 7][0] = 40 * MB
        sizes[123][0] = 150 * MB
        sizes[11], sizes[222] = ([chance.randint(1, 2000) for _ in range(230)] for _ in range(2))
    else:
        sizes[7][0] = 6 * MB
    plan, seed = [], 0
    for number, some in enumerate(sizes):
        plan.append(Planned(MAILBOXES[number % len(MAILBOXES)], tuple(some), seed))
        seed += len(some)
    return plan


def _small(chance: random.Random) -> int:
    return int(10 ** chance.uniform(0, 5.3 if IS_FULL else 4.8))


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[GraphProcess]:
    with graph_process(tmp_path, mailboxes=MAILBOXES) as running:
        yield running


@pytest.fixture
def stack(tmp_path: Path, graph: GraphProcess) -> Iterator[Stack]:
    settings = graph.gateway_settings(*MAILBOXES, poll_seconds=4.0, catch_up_seconds=4.0) | {"rate_limit_per_minute": 0}
    retry = {"retry.base_seconds": 0.2, "retry.cap_seconds": 5.0}
    with Stack(tmp_path / "stack", mailboxes=MAILBOXES, gateway=settings, collector=retry) as stack:
        stack.folder.mkdir()
        stack.configure(gateway={"graph.notification_url": stack.gateway_url, "webhooks.retry_seconds": [0.2, 1.0]})
        administer(stack)
        yield stack


def administer(stack: Stack) -> None:
    """As `Stack.prepare` does by commands, of which so many mailboxes would need many."""
    engine = open_database(stack.folder / "data" / "gateway")
    for mailbox in MAILBOXES:
        add_mailbox(engine, mailbox)
    expires_at = datetime.now(UTC) + timedelta(days=1)
    stack.api_key, _ = create_key(engine, "test", scopes=list(Scope), mailboxes=MAILBOXES, expires_at=expires_at)
    url = f"{stack.collector_url}/webhook"
    add_webhook(
        engine,
        NewWebhook("test", url, MAILBOXES, secret=stack.secret),
        policy=EgressPolicy(allow_http=True, allowed_networks=LOOPBACK),
        master_key=MasterKey.parse(stack.master_key),
    )
    engine.dispose()
    stack.configure()


def deliver(graph: GraphProcess, folder: Path, plan: list[Planned]) -> dict[str, Planned]:
    """By message id. In the middle of it every token is revoked."""
    delivered, file = {}, folder / "message.eml"
    for number, each in enumerate(plan):
        with file.open("wb") as target:
            each.sample(number).write(target)
        delivered[graph.deliver(each.mailbox, file)] = each
        if number == len(plan) // 2:
            graph.control("POST", "/tokens/revoke")
    file.unlink()
    return delivered


def test_every_file_is_collected_right_and_once(graph: GraphProcess, stack: Stack, tmp_path: Path) -> None:
    old = Planned(MAILBOXES[0], (10,), 1_000_000)
    deliver(graph, tmp_path, [old])
    stack.start("collector")
    stack.start("gateway", wait_seconds=60)
    baseline_done(stack)
    graph.set_faults(**FAULTS)
    plan = planned()
    delivered = deliver(graph, tmp_path, plan)
    expected = {id_: Counter(sha256(each) for each in found.contents) for id_, found in delivered.items()}
    count = sum(len(each.sizes) for each in plan)
    until(lambda: stored_count(stack) >= count, f"{count} files", timeout_seconds=TIMEOUT_SECONDS)
    assert [stack.stop(program) for program in ("collector", "gateway")] == [0, 0]

    rows = ledger(stack)
    assert Counter(row["status"] for row in rows) == {"stored": count}
    found: dict[str, Counter[str]] = {}
    for row in rows:
        found.setdefault(row["message_id"], Counter())[row["sha256"]] += 1
    assert found == expected
    assert Counter(stored_files(stack).values()) == sum(expected.values(), Counter())
    assert temporaries(stack) == []
    _deliveries_are_one_for_each_message(stack, set(delivered))
    _nothing_broke_the_limits(graph, len(plan))


def _deliveries_are_one_for_each_message(stack: Stack, announced: set[str]) -> None:
    query = "SELECT m.message_id, d.status FROM deliveries d JOIN messages m ON m.id = d.message_row_id"
    deliveries = gateway_rows(stack, query)
    assert Counter(message_id for message_id, _ in deliveries) == dict.fromkeys(announced, 1)
    assert {status for _, status in deliveries} == {"delivered"}


def _nothing_broke_the_limits(graph: GraphProcess, messages: int) -> None:
    state, calls = graph.control("GET", ""), graph.control("GET", "/calls")["calls"]
    peaks, faults = state["peaks"], Counter(call["fault"] for call in calls)
    early = sum(_came_early(call, calls) for call in calls if call["fault"] == "throttle")
    print(f"{messages} messages, {len(calls)} calls, {dict(faults)}, {early} early; {state['notifications']}, {peaks}")
    assert (peaks["refused_concurrent"], peaks["refused_rate"]) == (0, 0)
    assert max(peaks["mailboxes"].values()) <= MOST_AT_ONCE
    # What was sent before the refusal had come cannot be called back.
    assert early <= 0.1 * faults["throttle"]
    # The bad day was one.
    assert min(faults["throttle"], faults["reset"]) > 0
    assert state["tokensGiven"] >= 2
    assert state["notifications"]["lost"] > 0


def _came_early(refused: dict[str, Any], calls: list[dict[str, Any]]) -> bool:
    """Whether a call to the same mailbox was begun while it was to rest."""
    begin, end = refused["ended"] + 0.3, refused["ended"] + 0.9
    return any(call["mailbox"] == refused["mailbox"] and begin < call["started"] < end for call in calls)
