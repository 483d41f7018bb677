"""The index is filled with the past, beside an intake that announces what is new."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from satchel.gateway.backfill import Backfill, Backfilled
from satchel.gateway.intake import Intake
from satchel.gateway.store.database import Store
from satchel.gateway.store.mailboxes import add_mailbox, mark_indexed
from satchel.gateway.store.messages import Arrival, record_arrivals
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, deliveries, messages
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.mail.source import Batch, MessageSummary, SourceUnavailable
from tests.unit.gateway.fakes import (
    MAILBOX,
    OTHER_MAILBOX,
    MemorySource,
    RememberingQueue,
    batch,
    first_pass_ends,
    ref,
    summary,
)
from tests.unit.gateway.intake.intakes import Clock, retry

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=30)


def past(message_id: str, days_ago: float = 5, mailbox: str = MAILBOX) -> MessageSummary:
    return summary(ref(message_id, mailbox), received=NOW - timedelta(days=days_ago))


def indexed(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.scalars(sa.select(messages.c.message_id).where(messages.c.readable)))


def announced(engine: sa.Engine) -> list[str]:
    query = sa.select(messages.c.message_id).join_from(deliveries, messages)
    with engine.connect() as connection:
        return sorted(connection.scalars(query))


@pytest.fixture
def webhook(engine: sa.Engine) -> None:
    add_mailbox(engine, MAILBOX)
    add_webhook(engine, NewWebhook("collector", "https://example.com/", [MAILBOX]))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def intake(engine: sa.Engine, store: Store, source: MemorySource, clock: Clock) -> Intake:
    return Intake(DEFAULT_ACCOUNT_ID, source, store, RememberingQueue(engine), sweep_seconds=30, now=clock)


def work(source: MemorySource, store: Store, told: list[Backfilled] | None = None) -> Backfill:
    progress = [] if told is None else told
    return Backfill("default", DEFAULT_ACCOUNT_ID, source, store, since=LONG_AGO, now=NOW, on_progress=progress.append)


async def test_the_past_is_indexed_and_nothing_of_it_announced(
    engine: sa.Engine, store: Store, source: MemorySource, webhook: None
) -> None:
    mark_indexed(engine, DEFAULT_ACCOUNT_ID, [MAILBOX])
    source.histories[MAILBOX] = [[past("a"), past("b"), past("too-old", 31)], [past("c")]]
    told: list[Backfilled] = []
    assert await work(source, store, told).run() == [Backfilled("default", MAILBOX, found=3, added=3)]
    assert [each.found for each in told] == [2, 3]
    assert (indexed(engine), announced(engine)) == (["a", "b", "c"], [])


async def test_it_may_be_done_again_and_completes_what_could_not_be_read(
    engine: sa.Engine, store: Store, source: MemorySource, webhook: None
) -> None:
    record_arrivals(engine, DEFAULT_ACCOUNT_ID, [Arrival(ref("a"), None, is_baseline=True)])
    source.histories[MAILBOX] = [[past("a"), past("b")]]
    assert [each.added for each in await work(source, store).run()] == [2]
    assert [each.added for each in await work(source, store).run()] == [0]
    assert (indexed(engine), announced(engine)) == (["a", "b"], [])


async def test_what_the_watch_has_not_come_to_is_new_to_it_however_old_it_is(
    engine: sa.Engine, store: Store, source: MemorySource, intake: Intake, webhook: None
) -> None:
    """Such as an old message that was moved into the mailbox, or one that came while the gateway was down."""
    await intake.take(batch("known"))
    await intake.take(first_pass_ends())
    source.histories[MAILBOX] = [[past("known"), past("moved"), past("never-seen")]]
    assert [each.added for each in await work(source, store).run()] == [2]
    assert (indexed(engine), announced(engine)) == (["known", "moved", "never-seen"], [])
    for _ in range(2):
        await intake.take(batch("known", "moved"))
    assert announced(engine) == ["moved"]


async def test_what_was_there_before_the_first_pass_is_as_old_as_without_it(
    engine: sa.Engine, store: Store, source: MemorySource, intake: Intake, webhook: None
) -> None:
    source.histories[MAILBOX] = [[past("a"), past("b")]]
    await work(source, store).run()
    await intake.take(batch("a", "b"))
    await intake.take(first_pass_ends())
    await intake.take(batch("a", "b", "new"))
    assert announced(engine) == ["new"]


async def test_a_mailbox_that_the_watch_has_not_heard_of_is_new_to_it_with_all_that_is_in_it(
    engine: sa.Engine, store: Store, source: MemorySource, intake: Intake
) -> None:
    await intake.take(first_pass_ends())
    source.addresses = [OTHER_MAILBOX]
    source.histories[OTHER_MAILBOX] = [[past("a", mailbox=OTHER_MAILBOX)]]
    await work(source, store).run()
    add_webhook(engine, NewWebhook("other", "https://example.com/", [OTHER_MAILBOX]))
    await intake.take(Batch([ref("a", OTHER_MAILBOX)]))
    assert announced(engine) == ["a"]


async def test_the_watch_has_the_better_word(
    engine: sa.Engine, store: Store, source: MemorySource, intake: Intake, webhook: None
) -> None:
    """A list says that a document which is flagged inline is none; a report that began before has its row for good."""
    await intake.take(first_pass_ends())
    source.histories[MAILBOX] = [[summary(ref("a"), received=NOW - timedelta(days=5), has_attachments=False)]]
    await work(source, store).run()
    query = sa.select(messages.c.id, messages.c.has_attachments)
    with engine.connect() as connection:
        [(number, before)] = connection.execute(query).all()
    await intake.take(batch("a"))
    with engine.connect() as connection:
        assert connection.execute(query).all() == [(number, True)]
    assert before is False


class Busy(MemorySource):
    """Mail arrives, and the watch tells of it, between two batches of the past."""

    intake: Intake

    async def history(
        self, mailbox: str, *, since: datetime, until: datetime
    ) -> AsyncIterator[Sequence[MessageSummary]]:
        async for each in super().history(mailbox, since=since, until=until):
            yield each
            await self.intake.take(batch("a", "new"))


async def test_what_arrives_meanwhile_is_announced_once(engine: sa.Engine, store: Store, webhook: None) -> None:
    mark_indexed(engine, DEFAULT_ACCOUNT_ID, [MAILBOX])
    source = Busy(histories={MAILBOX: [[past("a")], [past("b"), past("new", 0.1)]]})
    source.intake = Intake(DEFAULT_ACCOUNT_ID, source, store, RememberingQueue(engine), sweep_seconds=30, now=Clock())
    await work(source, store).run()
    await source.intake.take(batch("a", "new"))
    assert (indexed(engine), announced(engine)) == (["a", "b", "new"], ["a", "new"])


async def test_what_waits_for_being_described_is_announced_when_it_is(
    engine: sa.Engine, store: Store, source: MemorySource, intake: Intake, clock: Clock, webhook: None
) -> None:
    await intake.take(first_pass_ends())
    source.failures["a"] = SourceUnavailable("not just now")
    await intake.take(batch("a"))
    source.histories[MAILBOX] = [[past("a")]]
    assert [each.added for each in await work(source, store).run()] == [1]
    source.failures.clear()
    await retry(intake, clock)
    assert announced(engine) == ["a"]


async def test_a_baseline_that_could_not_be_read_is_completed_and_stays_old(
    engine: sa.Engine, store: Store, source: MemorySource, intake: Intake, clock: Clock, webhook: None
) -> None:
    source.failures["a"] = SourceUnavailable("not just now")
    await intake.take(batch("a"))
    await intake.take(first_pass_ends())
    source.histories[MAILBOX] = [[past("a")]]
    assert [each.added for each in await work(source, store).run()] == [1]
    source.failures.clear()
    await retry(intake, clock)
    await intake.take(batch("a"))
    assert (indexed(engine), announced(engine)) == (["a"], [])


async def test_a_mailbox_that_fails_keeps_no_other_from_being_read(
    engine: sa.Engine, store: Store, source: MemorySource
) -> None:
    source.addresses = [OTHER_MAILBOX, MAILBOX]
    source.histories = {
        OTHER_MAILBOX: [[past("a", mailbox=OTHER_MAILBOX)], SourceUnavailable("2 messages could not be read.")],
        MAILBOX: [[past("b")]],
    }
    first, second = await work(source, store).run()
    assert first == Backfilled("default", OTHER_MAILBOX, 1, 1, "2 messages could not be read.")
    assert second.failure is None
    assert indexed(engine) == ["a", "b"]


async def test_only_wanted_mailboxes_are_read(engine: sa.Engine, store: Store, source: MemorySource) -> None:
    source.addresses = [OTHER_MAILBOX, MAILBOX]
    source.histories = {OTHER_MAILBOX: [SourceUnavailable("x")], MAILBOX: [[past("b")]]}
    assert [each.mailbox for each in await work(source, store).run({MAILBOX})] == [MAILBOX]


async def test_a_source_that_does_not_answer_is_told(store: Store) -> None:
    class Down(MemorySource):
        async def mailboxes(self) -> Sequence[str]:
            raise SourceUnavailable("The mail folder cannot be opened.")

    assert await work(Down(), store).run() == [Backfilled("default", "", failure="The mail folder cannot be opened.")]
