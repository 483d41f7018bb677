"""Arrivals by delta: from where a walk was left, once each, and one mailbox in trouble keeps no other waiting."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from satchel.mail.graph.options import GraphOptions
from satchel.mail.graph.watch import GraphWatch
from satchel.mail.source import Batch
from tests.unit.mail.graph.fakes import http_over
from tests.unit.mail.graph.office import URL, A, B, Office


@dataclass
class Consumer:
    """Takes batches as the intake does; `names` are the messages that it was given, in their order."""

    watch: GraphWatch
    batches: AsyncGenerator[Batch]
    names: list[str] = field(default_factory=list)
    read_to_end: set[str] = field(default_factory=set)
    described: list[str] = field(default_factory=list)
    baseline: list[str] = field(default_factory=list)
    coming: asyncio.Future[Batch] | None = None

    async def next(self) -> Batch:
        batch = await anext(self.batches)
        for ref in batch.messages:
            self.names.append(ref.message_id.rstrip("_"))
            if self.watch.envelope(ref) is not None:
                self.described.append(self.names[-1])
            if batch.is_baseline:
                self.baseline.append(self.names[-1])
        self.read_to_end |= batch.read_to_end
        return batch

    async def first_pass(self) -> None:
        while not (await self.next()).ends_first_pass:
            pass

    async def wait(self, seconds: float) -> None:
        """Take what comes in so many seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            # Kept over the call, since a generator that is cancelled has ended.
            self.coming = self.coming or asyncio.ensure_future(self.next())
            done, _ = await asyncio.wait({self.coming}, timeout=until - loop.time())
            if done:
                await self.coming
                self.coming = None


@asynccontextmanager
async def consuming(office: Office, *mailboxes: str, **arrivals: object) -> AsyncIterator[Consumer]:
    watch = office.watch(*mailboxes, **arrivals)
    async with aclosing(watch.batches()) as batches:
        consumer = Consumer(watch, batches)
        yield consumer
        if consumer.coming is not None:
            consumer.coming.cancel()
            await asyncio.wait({consumer.coming})


async def test_old_mail_comes_first_with_its_envelopes_and_then_what_arrives() -> None:
    office = Office()
    for number in range(5):
        office.put(A, f"old{number}")
    async with consuming(office) as consumer:
        await consumer.first_pass()
        assert consumer.names == consumer.described == [f"old{number}" for number in range(5)]
        assert consumer.read_to_end == {A}
        office.put(A, "new")
        await consumer.wait(31)
    assert consumer.names[5:] == ["new"]
    assert consumer.baseline == consumer.described == consumer.names[:5]


async def test_a_cursor_is_kept_only_when_its_messages_are_taken() -> None:
    office = Office()
    for number in range(5):
        office.put(A, f"old{number}")
    async with consuming(office) as consumer:
        await consumer.next()
        await consumer.next()
    # The second batch may not have been taken, so it comes again; the first does not.
    async with consuming(office) as consumer:
        await consumer.first_pass()
    assert consumer.names == consumer.described == ["old2", "old3", "old4"]


async def test_what_arrives_while_nobody_watches_is_found_at_the_start_and_described_in_full() -> None:
    office = Office()
    office.put(A, "old")
    async with consuming(office) as consumer:
        await consumer.first_pass()
    for number in range(3):
        office.put(A, f"new{number}")
    for _ in range(2):
        async with consuming(office) as consumer:
            await consumer.next()
    async with consuming(office) as consumer:
        await consumer.first_pass()
    assert consumer.names == ["new0", "new1", "new2"]
    assert consumer.described == consumer.baseline == []


async def test_drafts_and_removals_are_no_arrivals() -> None:
    office = Office()
    office.put(A, "draft", isDraft=True)
    office.put(A, "removed", **{"@removed": {"reason": "deleted"}})
    office.put(A, "mail")
    async with consuming(office) as consumer:
        await consumer.first_pass()
    assert consumer.names == ["mail"]


async def test_a_forgotten_cursor_brings_back_what_came_since_shortly_before_it() -> None:
    office = Office()
    office.put(A, "old")
    async with consuming(office, poll_seconds=600) as consumer:
        await consumer.first_pass()
        await consumer.wait(7100)
        office.put(A, "recent")
        await consumer.wait(600)
        office.put(A, "new")
        office.forgets = True
        await consumer.wait(700)
    # "recent" is known by the index; "old" was received long before.
    assert consumer.names == ["old", "recent", "recent", "new"]
    assert consumer.described == ["old"]


async def test_a_cursor_that_is_forgotten_before_the_first_round_ended_makes_that_begin_anew() -> None:
    office = Office(forgets=True)
    for number in range(3):
        office.put(A, f"old{number}")
    async with consuming(office) as consumer:
        await consumer.first_pass()
    assert consumer.names == ["old0", "old1", "old0", "old1", "old2"]
    assert consumer.described == consumer.names


async def test_a_mailbox_in_trouble_stops_no_other_and_is_read_when_it_is_well() -> None:
    office = Office()
    office.put(A, "a")
    office.put(B, "b")
    office.failing[A] = 403
    async with consuming(office, A, B) as consumer:
        await consumer.first_pass()
        assert (consumer.names, consumer.read_to_end) == (["b"], {B})
        calls = len(office.graph.asked)
        await consumer.wait(3600)
        office_calls = [each for each in office.graph.asked[calls:] if each.path.startswith(f"users/{A}")]
        assert len(office_calls) < 25
        del office.failing[A]
        await consumer.wait(301)
    assert (consumer.names, consumer.read_to_end) == (["b", "a"], {A, B})


async def test_a_folder_that_is_watched_later_brings_no_old_mail() -> None:
    office = Office()
    async with consuming(office) as consumer:
        await consumer.first_pass()
        await asyncio.sleep(10)
    office.put(A, "old", folder="archive")
    await asyncio.sleep(10)
    async with consuming(office, folders=("inbox", "archive")) as consumer:
        await consumer.first_pass()
        office.put(A, "new", folder="archive")
        await consumer.wait(31)
    assert consumer.names == ["new"]


async def test_with_notifications_mailboxes_are_read_seldom_and_at_once_when_something_was_missed() -> None:
    office = Office()
    async with consuming(office, notification_url=URL, poll_seconds=30, catch_up_seconds=900) as consumer:
        await consumer.first_pass()
        await consumer.wait(60)
        before = len(office.calls("GET", f"users/{A}"))
        await consumer.wait(800)
        assert len(office.calls("GET", f"users/{A}")) == before
        office.put(A, "missed")
        office.host.catch_up_requests.add(A)
        await consumer.wait(6)
        assert consumer.names == ["missed"]
        office.put(A, "lost")
        await consumer.wait(901)
    assert consumer.names == ["missed", "lost"]


async def test_where_subscriptions_fail_mailboxes_are_polled() -> None:
    office = Office()
    office.failing["subscriptions"] = 403
    async with consuming(office, notification_url=URL, poll_seconds=30, catch_up_seconds=900) as consumer:
        await consumer.first_pass()
        office.put(A, "new")
        await consumer.wait(31)
    assert consumer.names == ["new"]


async def test_nothing_is_left_running() -> None:
    office = Office()
    before = asyncio.all_tasks()
    async with consuming(office, A, B) as consumer:
        await consumer.first_pass()
    assert asyncio.all_tasks() == before


async def test_without_mailboxes_the_first_pass_ends_at_once() -> None:
    office = Office()
    watch = GraphWatch(http_over(office.graph), GraphOptions(()), office.host)
    async with aclosing(watch.batches()) as batches:
        assert (await anext(batches)).ends_first_pass
