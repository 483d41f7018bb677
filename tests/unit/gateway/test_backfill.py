"""The index is filled with the past, beside an intake that announces what is new."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from satchel.gateway.backfill import Backfill, Backfilled, end_of_past
from satchel.gateway.intake import Intake
from satchel.gateway.store.database import Store
from satchel.gateway.store.mailboxes import add_mailbox, mark_indexed
from satchel.gateway.store.messages import Arrival, record_arrivals
from satchel.gateway.store.pending import PendingMessage, Postponed, postpone
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, deliveries, messages
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.mail.source import MessageSummary, SourceUnavailable
from tests.unit.gateway.fakes import MAILBOX, OTHER_MAILBOX, MemorySource, RememberingQueue, batch, ref, summary
from tests.unit.gateway.intake.intakes import Clock

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


def work(source: MemorySource, store: Store, told: list[Backfilled] | None = None) -> Backfill:
    progress = [] if told is None else told
    return Backfill("default", DEFAULT_ACCOUNT_ID, source, store, since=LONG_AGO, now=NOW, on_progress=progress.append)


@pytest.mark.parametrize(
    ("indexed_at", "end"),
    [
        (None, NOW),
        (NOW - timedelta(days=1), NOW - timedelta(days=1, minutes=1)),
        # A clock that was set back.
        (NOW + timedelta(days=1), NOW),
    ],
)
def test_the_past_ends_where_the_watch_begins(indexed_at: datetime | None, end: datetime) -> None:
    assert end_of_past(indexed_at, NOW) == end


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


async def test_what_came_after_the_mailbox_was_indexed_is_left_to_the_watch(
    engine: sa.Engine, store: Store, source: MemorySource, webhook: None
) -> None:
    """It arrived while the gateway was down, and the backfill is done before it is started again."""
    mark_indexed(engine, DEFAULT_ACCOUNT_ID, [MAILBOX])
    new = summary(ref("new"), received=datetime.now(UTC))
    source.histories[MAILBOX] = [[past("old"), new]]
    later = Backfill(
        "default",
        DEFAULT_ACCOUNT_ID,
        source,
        store,
        since=LONG_AGO,
        now=NOW + timedelta(days=1),
        on_progress=lambda _: None,
    )
    assert [each.added for each in await later.run()] == [1]
    intake = Intake(DEFAULT_ACCOUNT_ID, source, store, RememberingQueue(engine), sweep_seconds=30, now=Clock())
    await intake.take(batch("old", "new"))
    assert (indexed(engine), announced(engine)) == (["new", "old"], ["new"])


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
    source = Busy(histories={MAILBOX: [[past("a")], [past("b"), summary(ref("new"), received=datetime.now(UTC))]]})
    source.intake = Intake(DEFAULT_ACCOUNT_ID, source, store, RememberingQueue(engine), sweep_seconds=30, now=Clock())
    await work(source, store).run()
    await source.intake.take(batch("b", "new"))
    assert (indexed(engine), announced(engine)) == (["a", "b", "new"], ["new"])


async def test_what_waits_for_being_described_is_left_to_the_watch(
    engine: sa.Engine, store: Store, source: MemorySource, webhook: None
) -> None:
    """Such as an old message that somebody has moved into the mailbox just now."""
    mark_indexed(engine, DEFAULT_ACCOUNT_ID, [MAILBOX])
    postpone(engine, DEFAULT_ACCOUNT_ID, [Postponed(PendingMessage(ref("moved"), NOW), NOW)])
    source.histories[MAILBOX] = [[past("moved"), past("a")]]
    assert [each.added for each in await work(source, store).run()] == [1]
    assert indexed(engine) == ["a"]


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
