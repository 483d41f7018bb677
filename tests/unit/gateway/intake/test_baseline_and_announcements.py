"""Arrivals: the baseline, what is announced, and what a crash in between leaves to do."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from satchel.gateway.intake import Intake, are_caught_up
from satchel.gateway.store.accounts import register_accounts
from satchel.gateway.store.database import Store
from satchel.gateway.store.mailboxes import add_mailbox, list_mailboxes
from satchel.gateway.store.messages import known_message_ids
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, deliveries, messages
from satchel.gateway.store.webhook_changes import remove_webhook, set_webhook_enabled
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.mail.source import Batch, SourceUnavailable
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
from tests.unit.gateway.intake.intakes import Start, asked, ids, running


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


async def test_what_arrives_while_the_gateway_is_down_is_announced(
    engine: sa.Engine, start: Start, intake: Intake, webhook: str
) -> None:
    await intake.take(batch("old"))
    await intake.take(first_pass_ends())
    queue = RememberingQueue(engine)
    restarted = start(queue)
    await restarted.take(batch("old", "while-down"))
    assert asked(queue) == ids(webhook, "while-down")


async def test_what_the_source_says_is_old_is_not_announced_though_its_mailbox_was_indexed_before(
    engine: sa.Engine, start: Start, intake: Intake, source: MemorySource, webhook: str
) -> None:
    await intake.take(batch("of the source before"))
    await intake.take(first_pass_ends())
    queue = RememberingQueue(engine)
    other_source = start(queue)
    source.failures["old-2"] = SourceUnavailable("not just now")
    await other_source.take(Batch([ref("old-1"), ref("old-2")], is_baseline=True))
    source.failures.clear()
    await other_source.take_up_pending()
    await other_source.take(batch("new"))
    assert known_message_ids(engine, DEFAULT_ACCOUNT_ID, ["old-1", "old-2"]) == {"old-1", "old-2"}
    assert asked(queue) == ids(webhook, "new")


async def test_a_baseline_that_a_crash_cut_short_goes_on(
    engine: sa.Engine, start: Start, intake: Intake, webhook: str
) -> None:
    await intake.take(batch("old-1"))
    queue = RememberingQueue(engine)
    restarted = start(queue)
    await restarted.take(batch("old-1", "old-2"))
    await restarted.take(first_pass_ends())
    assert queue.asked == []


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
    added = add_webhook(engine, NewWebhook("w", "https://e.com/", [OTHER_MAILBOX]))
    await intake.take(Batch([ref("m", OTHER_MAILBOX)]))
    assert asked(queue) == ids(added.webhook_id, "m")


async def test_a_mailbox_that_was_not_read_yet_keeps_its_baseline(
    engine: sa.Engine, source: MemorySource, store: Store, intake: Intake, queue: RememberingQueue
) -> None:
    add_mailbox(engine, OTHER_MAILBOX)
    added = add_webhook(engine, NewWebhook("w", "https://e.com/", [OTHER_MAILBOX]))
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
    added = add_webhook(engine, NewWebhook("w", "https://e.com/", [OTHER_MAILBOX]))
    await intake.take(first_pass_ends(MAILBOX))
    queue = RememberingQueue(engine)
    restarted = start(queue)
    await restarted.take(Batch([ref("while-down", OTHER_MAILBOX)]))
    assert asked(queue) == ids(added.webhook_id, "while-down")


async def test_only_webhooks_of_the_mailbox_that_are_on_are_told(
    engine: sa.Engine, intake: Intake, queue: RememberingQueue, webhook: str
) -> None:
    await intake.take(first_pass_ends())
    second = add_webhook(engine, NewWebhook("second", "https://e.com/", [MAILBOX]))
    await intake.take(Batch([ref("a"), ref("other", OTHER_MAILBOX)]))
    assert sorted(asked(queue)) == sorted(ids(webhook, "a") + ids(second.webhook_id, "a"))
    set_webhook_enabled(engine, "second", enabled=False)
    await intake.take(batch("b"))
    remove_webhook(engine, "collector")
    await intake.take(batch("c"))
    assert asked(queue)[2:] == ids(webhook, "b")


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
