"""What cannot be described yet: it waits on disk, and is announced once it can be."""

import asyncio
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from satchel.gateway.intake import Intake
from satchel.gateway.store.messages import known_message_ids
from satchel.gateway.store.pending import add_pending, see_again
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, messages
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
from tests.unit.gateway.intake.intakes import Clock, Start, asked, ids, retry, running


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


async def test_what_is_pending_survives_a_restart(
    engine: sa.Engine, source: MemorySource, start: Start, queue: RememberingQueue, clock: Clock, webhook: str
) -> None:
    first = start(RememberingQueue(engine))
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


@pytest.mark.parametrize("is_meanwhile", [False, True])
async def test_patience_begins_anew_when_the_watch_sees_the_message_that_is_not_found(
    engine: sa.Engine,
    source: MemorySource,
    start: Start,
    queue: RememberingQueue,
    clock: Clock,
    webhook: str,
    is_meanwhile: bool,
) -> None:
    intake = start(queue, 120.0)
    await intake.take(first_pass_ends())
    source.failures["m"] = MessageNotFound()
    await intake.take(batch("m"))
    clock.pass_seconds(200)

    def seen() -> None:
        see_again(engine, DEFAULT_ACCOUNT_ID, ["m"], clock.now)

    if is_meanwhile:
        source.on_describe = seen
    else:
        await intake.take(batch("m"))
    await intake.take_up_pending()
    source.failures.clear()
    await retry(intake, clock)
    assert asked(queue) == ids(webhook, "m")


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
