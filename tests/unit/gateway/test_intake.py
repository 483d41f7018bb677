"""Arrivals: the baseline, what is announced, and what happens when something goes wrong in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from satchel.gateway.intake import Intake, are_caught_up
from satchel.gateway.store.accounts import register_accounts
from satchel.gateway.store.database import Store
from satchel.gateway.store.deliveries import pending_deliveries
from satchel.gateway.store.mailboxes import add_mailbox, list_mailboxes
from satchel.gateway.store.messages import delivery_id, known_message_ids
from satchel.gateway.store.pending import add_pending
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, deliveries, messages
from satchel.gateway.store.webhooks import add_webhook, remove_webhook, set_webhook_enabled
from satchel.mail.source import Batch, BrokenMessage, MessageNotFound, MessageRef, NotReady, SourceUnavailable
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


@pytest.fixture
def queue() -> RememberingQueue:
    return RememberingQueue()


Start = Callable[..., Intake]


@dataclass
class Clock:
    """Stands still unless the test lets time pass."""

    now: datetime = datetime(2026, 1, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(source: MemorySource, store: Store, clock: Clock) -> Start:
    """An intake as after a start of the gateway."""

    def made(queue: RememberingQueue, patience_seconds: float = 0.0) -> Intake:
        return Intake(
            DEFAULT_ACCOUNT_ID,
            source,
            store,
            queue,
            sweep_seconds=30,
            arrival_patience_seconds=patience_seconds,
            now=clock,
        )

    return made


@pytest.fixture
def intake(start: Start, queue: RememberingQueue) -> Intake:
    return start(queue)


async def retry(intake: Intake, clock: Clock, times: int = 1) -> None:
    """Let the longest pause pass, and take up what is pending."""
    for _ in range(times):
        clock.pass_seconds(300)
        await intake.take_up_pending()


@pytest.fixture
def webhook(engine: sa.Engine) -> str:
    add_mailbox(engine, MAILBOX)
    return add_webhook(
        engine, "collector", "https://example.com/", mailboxes=[MAILBOX], secret=None, allow_http=False
    ).webhook_id


def asked(queue: RememberingQueue) -> list[str]:
    return [delivery for delivery, _ in queue.asked]


def ids(webhook: str, *message_ids: str) -> list[str]:
    return [delivery_id(webhook, message_id) for message_id in message_ids]


async def test_the_first_pass_is_indexed_and_not_announced(
    engine: sa.Engine, intake: Intake, queue: RememberingQueue, webhook: str
) -> None:
    await intake.take(batch("old-1", "old-2"))
    assert not intake.is_caught_up
    await intake.take(first_pass_ends())
    assert intake.is_caught_up
    assert known_message_ids(engine, DEFAULT_ACCOUNT_ID, ["old-1", "old-2", "x"]) == {"old-1", "old-2"}
    assert queue.asked == []
    await intake.take(batch("new"))
    assert asked(queue) == ids(webhook, "new")


async def test_what_arrives_while_the_gateway_is_down_is_announced(start: Start, intake: Intake, webhook: str) -> None:
    await intake.take(batch("old"))
    await intake.take(first_pass_ends())
    queue = RememberingQueue()
    restarted = start(queue)
    await restarted.take(batch("old", "while-down"))
    assert asked(queue) == ids(webhook, "while-down")


async def test_a_baseline_that_a_crash_cut_short_goes_on(start: Start, intake: Intake, webhook: str) -> None:
    await intake.take(batch("old-1"))
    queue = RememberingQueue()
    restarted = start(queue)
    await restarted.take(batch("old-1", "old-2"))
    await restarted.take(first_pass_ends())
    assert queue.asked == []


@pytest.mark.parametrize("restarts", [False, True])
async def test_old_mail_that_could_not_be_read_at_first_is_never_announced(
    engine: sa.Engine,
    source: MemorySource,
    start: Start,
    queue: RememberingQueue,
    intake: Intake,
    webhook: str,
    restarts: bool,
    clock: Clock,
) -> None:
    source.failures["old"] = SourceUnavailable("not now")
    await intake.take(batch("old"))
    await intake.take(first_pass_ends())
    await retry(intake, clock)
    del source.failures["old"]
    if restarts:
        intake = start(queue)
        await intake.take(batch("old"))
    await retry(intake, clock)
    assert queue.asked == []
    with engine.connect() as connection:
        found = connection.execute(sa.select(messages.c.subject, messages.c.readable)).all()
    assert found == [("Invoice", True)]
    await retry(intake, clock)
    assert source.described.count("old") == 3


async def test_new_mail_that_cannot_be_read_at_a_restart_is_announced_later(
    source: MemorySource, start: Start, queue: RememberingQueue, intake: Intake, webhook: str, clock: Clock
) -> None:
    await intake.take(first_pass_ends())
    restarted = start(queue)
    source.failures["while-down"] = SourceUnavailable("not now")
    await restarted.take(batch("while-down"))
    await restarted.take(first_pass_ends())
    del source.failures["while-down"]
    await retry(restarted, clock)
    assert asked(queue) == ids(webhook, "while-down")


async def test_a_message_that_comes_twice_is_announced_once(
    engine: sa.Engine, intake: Intake, queue: RememberingQueue, webhook: str
) -> None:
    await intake.take(first_pass_ends())
    await intake.take(batch("m", "m"))
    await intake.take(batch("m"))
    assert asked(queue) == ids(webhook, "m")
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(deliveries)) == 1


async def test_a_message_that_comes_by_two_ways_at_once_is_announced_once(
    engine: sa.Engine, source: MemorySource, queue: RememberingQueue, webhook: str
) -> None:
    store = Store(engine, 2)
    intake = Intake(DEFAULT_ACCOUNT_ID, source, store, queue, sweep_seconds=30)
    await intake.take(first_pass_ends())
    names = [f"m{number}" for number in range(30)]
    for name in names:
        await asyncio.gather(intake.take(batch(name)), intake.take(batch(name)))
    store.close()
    assert asked(queue) == ids(webhook, *names)


async def test_mailboxes_of_the_source_register_themselves(
    engine: sa.Engine, source: MemorySource, intake: Intake
) -> None:
    source.addresses = [MAILBOX, OTHER_MAILBOX]
    await intake.take(first_pass_ends(*source.addresses))
    assert [(row.address, row.indexed_at is not None) for row in list_mailboxes(engine)] == [
        (OTHER_MAILBOX, True),
        (MAILBOX, True),
    ]


async def test_a_mailbox_added_later_has_no_baseline(
    engine: sa.Engine, intake: Intake, queue: RememberingQueue
) -> None:
    await intake.take(first_pass_ends())
    add_mailbox(engine, OTHER_MAILBOX)
    added = add_webhook(engine, "w", "https://e.com/", mailboxes=[OTHER_MAILBOX], secret=None, allow_http=False)
    await intake.take(Batch([ref("m", OTHER_MAILBOX)]))
    assert asked(queue) == ids(added.webhook_id, "m")


async def test_a_mailbox_that_was_not_read_yet_keeps_its_baseline(
    engine: sa.Engine, source: MemorySource, store: Store, intake: Intake, queue: RememberingQueue
) -> None:
    add_mailbox(engine, OTHER_MAILBOX)
    added = add_webhook(engine, "w", "https://e.com/", mailboxes=[OTHER_MAILBOX], secret=None, allow_http=False)
    await intake.take(Batch(read_to_end=frozenset({MAILBOX}), ends_first_pass=True))
    await intake.sweep()
    await intake.take(Batch([ref("old", OTHER_MAILBOX)]))
    await intake.take(Batch([ref("old-too", OTHER_MAILBOX)], read_to_end=frozenset({OTHER_MAILBOX})))
    assert queue.asked == []
    await intake.take(Batch([ref("new", OTHER_MAILBOX)]))
    assert asked(queue) == ids(added.webhook_id, "new")


async def test_the_baseline_of_a_mailbox_without_a_folder_ends_with_the_first_pass(
    engine: sa.Engine, start: Start, intake: Intake
) -> None:
    add_mailbox(engine, OTHER_MAILBOX)
    added = add_webhook(engine, "w", "https://e.com/", mailboxes=[OTHER_MAILBOX], secret=None, allow_http=False)
    await intake.take(first_pass_ends(MAILBOX))
    queue = RememberingQueue()
    restarted = start(queue)
    await restarted.take(Batch([ref("while-down", OTHER_MAILBOX)]))
    assert asked(queue) == ids(added.webhook_id, "while-down")


async def test_only_webhooks_of_the_mailbox_that_are_on_are_told(
    engine: sa.Engine, intake: Intake, queue: RememberingQueue, webhook: str
) -> None:
    await intake.take(first_pass_ends())
    second = add_webhook(engine, "second", "https://e.com/", mailboxes=[MAILBOX], secret=None, allow_http=False)
    await intake.take(Batch([ref("a"), ref("other", OTHER_MAILBOX)]))
    assert sorted(asked(queue)) == sorted(ids(webhook, "a") + ids(second.webhook_id, "a"))
    set_webhook_enabled(engine, "second", enabled=False)
    await intake.take(batch("b"))
    remove_webhook(engine, "collector")
    await intake.take(batch("c"))
    assert asked(queue)[2:] == ids(webhook, "b")


@pytest.mark.parametrize("error", [BrokenMessage("no"), ZeroDivisionError("a defect")])
async def test_one_message_that_fails_stops_no_other(
    engine: sa.Engine, source: MemorySource, intake: Intake, queue: RememberingQueue, webhook: str, error: Exception
) -> None:
    await intake.take(first_pass_ends())
    source.failures["bad"] = error
    await intake.take(batch("a", "bad", "gone", "b"))
    assert asked(queue) == ids(webhook, "a", "b")
    assert "gone" not in known_message_ids(engine, DEFAULT_ACCOUNT_ID, ["gone"])


async def test_a_message_that_can_never_be_read_is_known_but_not_announced(
    engine: sa.Engine, source: MemorySource, intake: Intake, queue: RememberingQueue, webhook: str
) -> None:
    await intake.take(first_pass_ends())
    source.failures["bad"] = BrokenMessage("no")
    await intake.take(batch("bad"))
    await intake.take(batch("bad"))
    assert source.described == ["bad"]
    assert queue.asked == []
    with engine.connect() as connection:
        assert connection.execute(sa.select(messages.c.message_id, messages.c.readable)).all() == [("bad", False)]


async def test_passing_trouble_is_tried_again_by_the_sweep(
    source: MemorySource, intake: Intake, queue: RememberingQueue, webhook: str, clock: Clock
) -> None:
    await intake.take(first_pass_ends())
    source.failures["m"] = SourceUnavailable("not now")
    await intake.take(batch("m"))
    await retry(intake, clock)
    assert queue.asked == []
    del source.failures["m"]
    await retry(intake, clock)
    await retry(intake, clock)
    assert asked(queue) == ids(webhook, "m")


async def test_however_long_trouble_lasts_the_message_is_announced_after_it(
    source: MemorySource, intake: Intake, queue: RememberingQueue, webhook: str, clock: Clock
) -> None:
    await intake.take(first_pass_ends())
    source.failures["m"] = SourceUnavailable("for a day")
    await intake.take(batch("m"))
    await retry(intake, clock, times=100)
    del source.failures["m"]
    await retry(intake, clock)
    assert asked(queue) == ids(webhook, "m")


async def test_no_message_waits_behind_many_that_cannot_be_read(
    source: MemorySource, intake: Intake, queue: RememberingQueue, webhook: str, clock: Clock
) -> None:
    await intake.take(first_pass_ends())
    refs = [ref(f"m{number}") for number in range(250)]
    source.failures = {one.message_id: SourceUnavailable("for a day") for one in refs}
    await intake.take(Batch(refs))
    del source.failures["m249"]
    await retry(intake, clock, times=2)
    assert asked(queue) == ids(webhook, "m249")


async def test_a_defect_is_given_up_in_the_end(
    engine: sa.Engine, source: MemorySource, intake: Intake, clock: Clock
) -> None:
    await intake.take(first_pass_ends())
    source.failures["m"] = ZeroDivisionError("a defect")
    await intake.take(batch("m"))
    await retry(intake, clock, times=30)
    assert len(source.described) == 20
    assert known_message_ids(engine, DEFAULT_ACCOUNT_ID, ["m"]) == {"m"}


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "\udcff\0 lone surrogates and NUL"},
        {"subject": "x" * 1_000_000},
        {"received": datetime.max.replace(tzinfo=UTC)},
        {"received": datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))},
        {"to": (), "cc": ()},
        {"internet_message_id": "", "conversation_id": ""},
    ],
)
async def test_strange_envelopes_are_indexed(
    source: MemorySource, intake: Intake, queue: RememberingQueue, webhook: str, changes: dict[str, object]
) -> None:
    await intake.take(first_pass_ends())
    source.summaries["m"] = summary(ref("m"), **changes)
    await intake.take(batch("m"))
    assert asked(queue) == ids(webhook, "m")


async def test_large_batches(engine: sa.Engine, intake: Intake) -> None:
    refs = [ref(f"m{number}") for number in range(501)]
    await intake.take(Batch(refs))
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(messages)) == 501


async def test_unfinished_deliveries_are_asked_for_again_at_the_start(
    engine: sa.Engine, source: MemorySource, store: Store, intake: Intake, webhook: str
) -> None:
    await intake.take(first_pass_ends())
    await intake.take(batch("a", "b"))
    assert len(pending_deliveries(engine, DEFAULT_ACCOUNT_ID, due_before=None, limit=10)) == 2
    queue = RememberingQueue()
    restarted = Intake(DEFAULT_ACCOUNT_ID, source, store, queue, sweep_seconds=0)
    await restarted.sweep()
    assert sorted(asked(queue)) == sorted(ids(webhook, "a", "b"))


async def test_an_account_whose_source_is_down_does_not_keep_the_others_waiting(
    engine: sa.Engine, store: Store, queue: RememberingQueue
) -> None:
    class Down(MemorySource):
        async def watch(self) -> AsyncIterator[Batch]:
            raise SourceUnavailable("down")
            yield Batch()

    acme = register_accounts(engine, ["acme"], actor="cli:1")["acme"]
    good, down = MemorySource(batches=[batch("old"), first_pass_ends()]), Down()
    one = Intake(DEFAULT_ACCOUNT_ID, good, store, queue, sweep_seconds=3600)
    other = Intake(acme, down, store, queue, sweep_seconds=3600)
    assert not are_caught_up([one])
    assert not are_caught_up([one, other])
    async with running(other):
        while other.is_awaited:
            await asyncio.sleep(0)
        assert not are_caught_up([other])
        assert not are_caught_up([one, other])
        async with running(one):
            while not one.is_caught_up:
                await asyncio.sleep(0)
            assert are_caught_up([one, other])


@asynccontextmanager
async def running(intake: Intake) -> AsyncIterator[None]:
    task = asyncio.create_task(intake.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_what_is_pending_survives_a_restart(
    engine: sa.Engine, source: MemorySource, start: Start, queue: RememberingQueue, clock: Clock, webhook: str
) -> None:
    first = start(RememberingQueue())
    await first.take(first_pass_ends())
    source.failures["m"] = SourceUnavailable("not now")
    await first.take(batch("m"))
    assert first.undescribed_count == 1
    del source.failures["m"]
    restarted = start(queue)
    await retry(restarted, clock)
    await retry(restarted, clock)
    assert asked(queue) == ids(webhook, "m")
    assert (restarted.undescribed_count, source.described.count("m")) == (0, 2)


@pytest.mark.parametrize(("seconds", "is_found"), [(119, True), (120, True), (121, False)])
async def test_a_message_that_is_not_found_is_looked_for_as_long_as_patience_lasts(
    source: MemorySource,
    start: Start,
    queue: RememberingQueue,
    clock: Clock,
    webhook: str,
    seconds: int,
    is_found: bool,
) -> None:
    intake = start(queue, 120.0)
    await intake.take(first_pass_ends())
    source.failures["m"] = MessageNotFound()
    await intake.take(batch("m"))
    for _ in range(seconds - 1):
        clock.pass_seconds(1)
        await intake.take_up_pending()
    if is_found:
        del source.failures["m"]
    clock.pass_seconds(1)
    await intake.take_up_pending()
    source.failures.clear()
    await retry(intake, clock)
    assert asked(queue) == (ids(webhook, "m") if is_found else [])


async def test_a_mailbox_in_trouble_is_asked_for_few_messages_and_stops_no_other(
    engine: sa.Engine, source: MemorySource, intake: Intake, queue: RememberingQueue, clock: Clock, webhook: str
) -> None:
    await intake.take(first_pass_ends(MAILBOX, OTHER_MAILBOX))
    down = [ref(f"down{number}", OTHER_MAILBOX) for number in range(100)]
    source.failures = {one.message_id: SourceUnavailable("throttled") for one in down}
    source.on_describe = lambda: clock.pass_seconds(2)
    await intake.take(Batch([*down, ref("a"), ref("b")]))
    assert len(source.described) == 3 + 2
    assert asked(queue) == ids(webhook, "a", "b")
    source.failures = {}
    await retry(intake, clock)
    assert len(known_message_ids(engine, DEFAULT_ACCOUNT_ID, [one.message_id for one in down])) == 100


async def test_a_message_that_is_still_scanned_holds_up_no_other(
    source: MemorySource, intake: Intake, queue: RememberingQueue, webhook: str
) -> None:
    await intake.take(first_pass_ends())
    names = [f"m{number}" for number in range(20)]
    source.failures = {name: NotReady("a scan", retry_after_seconds=30.0) for name in names[:15]}
    await intake.take(batch(*names))
    assert asked(queue) == ids(webhook, *names[15:])


async def test_the_index_keeps_the_better_way_to_a_message(
    engine: sa.Engine, source: MemorySource, intake: Intake, clock: Clock
) -> None:
    better = MessageRef(MAILBOX, "old", "a better way")
    source.summaries["old"] = summary(better)
    source.failures["old"] = SourceUnavailable("not now")
    await intake.take(batch("old"))
    del source.failures["old"]
    await retry(intake, clock)
    with engine.connect() as connection:
        assert connection.scalars(sa.select(messages.c.locator)).all() == ["a better way"]


async def test_what_another_process_wrote_down_is_taken_up_at_once_when_woken(
    engine: sa.Engine, source: MemorySource, intake: Intake, queue: RememberingQueue, webhook: str
) -> None:
    source.batches = [first_pass_ends()]
    async with running(intake):
        while not intake.is_caught_up:
            await asyncio.sleep(0)
        with engine.begin() as connection:
            assert add_pending(connection, [(DEFAULT_ACCOUNT_ID, ref("m"))] * 2, datetime(2026, 1, 1, tzinfo=UTC)) == 1
        intake.wake()
        while not queue.asked:
            await asyncio.sleep(0)
    assert asked(queue) == ids(webhook, "m")
