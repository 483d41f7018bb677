"""Arrivals and rules: who is told, with what, when attachments decide, and what a crash in between leaves to do."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from satchel.contract.events import EmailAddress, Recipient
from satchel.gateway.intake import Intake
from satchel.gateway.rules.conditions import AttachmentConditions, Conditions
from satchel.gateway.store.database import Store
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.messages import delivery_id
from satchel.gateway.store.rules import RuleDraft, add_rule, remove_rule, set_rule_enabled
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, deliveries, messages, rules, webhooks
from satchel.gateway.store.webhook_changes import pause_webhook, set_webhook_enabled
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.mail.source import Batch, BrokenMessage, MessageNotFound, NotReady, SourceUnavailable
from tests.unit.gateway.fakes import (
    MAILBOX,
    OTHER_MAILBOX,
    MemoryContent,
    MemorySource,
    RememberingQueue,
    attachment,
    batch,
    first_pass_ends,
    ref,
    summary,
)
from tests.unit.gateway.intake.intakes import Clock, Start, asked, ids, retry

INVOICES = Conditions(subject_contains=("invoice",))
PDF = Conditions(attachments=AttachmentConditions((".pdf",)))
Told = Callable[[], list[tuple[str, str, str | None, dict[str, str] | None]]]


@pytest.fixture
def ruled(engine: sa.Engine) -> str:
    """A webhook that rules may fire, beside none that is told of everything."""
    add_mailbox(engine, MAILBOX)
    return add_webhook(engine, NewWebhook("ruled", "https://e.com/", [MAILBOX], by_rules=True)).webhook_id


@pytest.fixture
def other(engine: sa.Engine, ruled: str) -> str:
    return add_webhook(engine, NewWebhook("other", "https://e.com/", [MAILBOX], by_rules=True)).webhook_id


@pytest.fixture
def told(engine: sa.Engine) -> Told:
    """Of each delivery: message, webhook, rule, custom fields."""

    def read() -> list[tuple[str, str, str | None, dict[str, str] | None]]:
        columns = (messages.c.message_id, deliveries.c.webhook_id, deliveries.c.rule_id, deliveries.c.custom_fields)
        joined = sa.select(*columns).join_from(deliveries, messages).order_by(messages.c.id, deliveries.c.id)
        with engine.connect() as connection:
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(joined)]

    return read


@pytest.fixture
async def watching(intake: Intake) -> Intake:
    await intake.take(first_pass_ends())
    return intake


def with_pdf(source: MemorySource, *message_ids: str) -> None:
    for message_id in message_ids:
        source.files[message_id] = {"a": MemoryContent(attachment("a"), [], 0)}


async def test_a_webhook_that_goes_by_rules_is_told_of_what_they_say(
    engine: sa.Engine, source: MemorySource, watching: Intake, queue: RememberingQueue, ruled: str, told: Told
) -> None:
    rule = add_rule(engine, MAILBOX, RuleDraft("r", INVOICES, "ruled", {"queue": "bills"}))
    source.summaries["b"] = summary(ref("b"), subject="Lunch")
    await watching.take(batch("a", "b"))
    assert told() == [("a", ruled, rule.rule_id, {"queue": "bills"})]
    assert asked(queue) == ids(ruled, "a")
    assert source.listed == []


async def test_without_rules_it_is_told_of_nothing(watching: Intake, ruled: str, told: Told) -> None:
    await watching.take(batch("a"))
    assert told() == []


async def test_one_that_is_told_of_everything_takes_nothing_from_rules(
    engine: sa.Engine, watching: Intake, webhook: str, ruled: str, told: Told
) -> None:
    rule = add_rule(engine, MAILBOX, RuleDraft("r", webhook="ruled", stop=True))
    await watching.take(batch("a"))
    assert sorted(told()) == sorted([("a", webhook, None, None), ("a", ruled, rule.rule_id, None)])


async def test_one_that_was_told_by_rules_when_they_were_made_may_be_told_of_everything_now(
    engine: sa.Engine, watching: Intake, ruled: str, told: Told
) -> None:
    add_rule(engine, MAILBOX, RuleDraft("r", INVOICES, "ruled", {"n": "1"}))
    with engine.begin() as connection:
        connection.execute(sa.update(webhooks).values(by_rules=False))
    await watching.take(batch("a"))
    assert told() == [("a", ruled, None, None)]


async def test_the_first_rule_that_fires_gives_the_fields_and_stop_ends_the_trying(
    engine: sa.Engine, source: MemorySource, watching: Intake, ruled: str, other: str, told: Told
) -> None:
    someone = Recipient(EmailAddress("Eve", "eve@evil.test"))
    source.summaries["spam"] = summary(ref("spam"), sender=someone, from_=someone)
    add_rule(engine, MAILBOX, RuleDraft("spam", Conditions(senders=("@evil.test",)), stop=True))
    first = add_rule(engine, MAILBOX, RuleDraft("1", INVOICES, "ruled", {"n": "1"}))
    add_rule(engine, MAILBOX, RuleDraft("2", INVOICES, "ruled", {"n": "2"}, stop=True))
    add_rule(engine, MAILBOX, RuleDraft("3", webhook="other"))
    await watching.take(batch("spam", "a"))
    assert told() == [("a", ruled, first.rule_id, {"n": "1"})]


async def test_the_baseline_fires_nothing_and_is_asked_for_no_attachments(
    engine: sa.Engine, source: MemorySource, intake: Intake, ruled: str, told: Told
) -> None:
    add_rule(engine, MAILBOX, RuleDraft("r", PDF, "ruled"))
    await intake.take(batch("old"))
    await intake.take(first_pass_ends())
    await intake.take(Batch([ref("old too")], is_baseline=True))
    assert told() == []
    assert source.listed == []


async def test_old_mail_that_is_described_later_is_asked_for_no_attachments_either(
    engine: sa.Engine, source: MemorySource, intake: Intake, clock: Clock, ruled: str, told: Told
) -> None:
    add_rule(engine, MAILBOX, RuleDraft("r", PDF, "ruled"))
    source.failures["old"] = SourceUnavailable("not now")
    source.list_failures["old"] = SourceUnavailable("not for a day")
    await intake.take(batch("old"))
    await intake.take(first_pass_ends())
    del source.failures["old"]
    await retry(intake, clock)
    assert (source.listed, told(), intake.undescribed_count) == ([], [], 0)


async def test_a_change_by_the_command_line_is_for_the_next_arrival(
    engine: sa.Engine, watching: Intake, ruled: str, told: Told
) -> None:
    add_rule(engine, MAILBOX, RuleDraft("r", INVOICES, "ruled"))
    await watching.take(batch("a"))
    set_rule_enabled(engine, "r", enabled=False)
    await watching.take(batch("b"))
    set_rule_enabled(engine, "r", enabled=True)
    await watching.take(batch("c"))
    remove_rule(engine, "r")
    await watching.take(batch("d"))
    assert [row[0] for row in told()] == ["a", "c"]


async def test_a_webhook_that_is_off_is_not_told_and_one_that_is_paused_is(
    engine: sa.Engine, watching: Intake, ruled: str, other: str, told: Told
) -> None:
    for name in ("ruled", "other"):
        add_rule(engine, MAILBOX, RuleDraft(name, INVOICES, name))
    set_webhook_enabled(engine, "ruled", enabled=False)
    pause_webhook(engine, "other", "by hand")
    await watching.take(batch("a"))
    assert [row[:2] for row in told()] == [("a", other)]


async def test_rules_of_another_mailbox_say_nothing(engine: sa.Engine, intake: Intake, ruled: str, told: Told) -> None:
    await intake.take(first_pass_ends(MAILBOX, OTHER_MAILBOX))
    add_rule(engine, MAILBOX, RuleDraft("r", Conditions(), "ruled"))
    await intake.take(Batch([ref("m", OTHER_MAILBOX)]))
    assert told() == []


async def test_attachments_are_asked_for_where_a_rule_needs_them(
    engine: sa.Engine, source: MemorySource, watching: Intake, ruled: str, told: Told
) -> None:
    add_rule(engine, MAILBOX, RuleDraft("r", PDF, "ruled"))
    with_pdf(source, "pdf")
    source.files["zip"] = {"a": MemoryContent(attachment("a", name="a.zip", content_type="application/zip"), [], 0)}
    source.summaries["bare"] = summary(ref("bare"), has_attachments=False)
    await watching.take(batch("pdf", "zip", "bare"))
    assert sorted(source.listed) == ["pdf", "zip"]
    assert [row[0] for row in told()] == ["pdf"]


@pytest.mark.parametrize("error", [SourceUnavailable("not now"), NotReady("a scan"), ZeroDivisionError("a defect")])
async def test_passing_trouble_with_attachments_is_tried_again_with_the_message(
    engine: sa.Engine,
    source: MemorySource,
    watching: Intake,
    clock: Clock,
    ruled: str,
    told: Told,
    error: Exception,
) -> None:
    add_rule(engine, MAILBOX, RuleDraft("r", PDF, "ruled"))
    with_pdf(source, "a", "b")
    source.list_failures["a"] = error
    await watching.take(batch("a", "b"))
    await retry(watching, clock)
    assert [row[0] for row in told()] == ["b"]
    assert watching.undescribed_count == 1
    source.list_failures.clear()
    await retry(watching, clock)
    assert [row[0] for row in told()] == ["b", "a"]
    assert watching.undescribed_count == 0


async def test_where_attachments_can_never_be_read_conditions_on_them_do_not_hold(
    engine: sa.Engine, source: MemorySource, watching: Intake, clock: Clock, ruled: str, other: str, told: Told
) -> None:
    add_rule(engine, MAILBOX, RuleDraft("pdf", PDF, "ruled", stop=True))
    add_rule(engine, MAILBOX, RuleDraft("else", webhook="other"))
    source.list_failures["broken"] = BrokenMessage("too many parts")
    source.list_failures["defect"] = ZeroDivisionError("a defect")
    await watching.take(batch("broken", "defect"))
    assert [row[:2] for row in told()] == [("broken", other)]
    await retry(watching, clock, times=30)
    assert [row[:2] for row in told()] == [("broken", other), ("defect", other)]


async def test_a_message_that_goes_before_its_attachments_are_read_is_gone(
    engine: sa.Engine, source: MemorySource, watching: Intake, ruled: str, told: Told
) -> None:
    add_rule(engine, MAILBOX, RuleDraft("r", PDF, "ruled"))
    source.list_failures["a"] = MessageNotFound()
    await watching.take(batch("a"))
    assert told() == []
    assert watching.undescribed_count == 0


async def test_a_rule_that_cannot_be_read_keeps_no_mail_from_being_taken_in(
    engine: sa.Engine, watching: Intake, webhook: str, ruled: str, told: Told
) -> None:
    add_rule(engine, MAILBOX, RuleDraft("r", INVOICES, "ruled"))
    with engine.begin() as connection:
        connection.execute(sa.update(rules).values(conditions={"subject_regex": "("}))
    await watching.take(batch("a"))
    assert [row[:2] for row in told()] == [("a", webhook)]


class _Crash(BaseException):
    """The process ends."""


class _CrashingStore(Store):
    """Ends the process before its call of this number, so after the one before it."""

    def __init__(self, engine: sa.Engine, crash: int) -> None:
        super().__init__(engine, 1)
        self._left = crash

    async def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        self._left -= 1
        if not self._left:
            raise _Crash
        return await super().call(function, *args, **kwargs)


@pytest.mark.parametrize("crash", range(1, 14))
async def test_a_crash_anywhere_loses_no_announcement_and_makes_none_twice(
    engine: sa.Engine,
    source: MemorySource,
    start: Start,
    watching: Intake,
    clock: Clock,
    ruled: str,
    told: Told,
    crash: int,
) -> None:
    add_rule(engine, MAILBOX, RuleDraft("r", PDF, "ruled", {"n": "1"}))
    with_pdf(source, "a", "b", "c")
    source.list_failures["b"] = SourceUnavailable("not now")
    crashing = Intake(
        DEFAULT_ACCOUNT_ID,
        source,
        _CrashingStore(engine, crash),
        RememberingQueue(engine),
        sweep_seconds=30,
        now=clock,
    )
    taken = False
    try:
        await crashing.take(batch("a", "b", "c"))
        taken = True
        source.list_failures.clear()
        await retry(crashing, clock)
    except _Crash:
        pass
    source.list_failures.clear()
    restarted = start(RememberingQueue(engine))
    if not taken:
        # The source gives again what was not taken to the end, and nothing else.
        await restarted.take(batch("a", "b", "c"))
    await retry(restarted, clock, times=2)
    assert sorted(row[0] for row in told()) == ["a", "b", "c"]
    assert all(row[3] == {"n": "1"} for row in told())
    with engine.connect() as connection:
        found = set(connection.scalars(sa.select(deliveries.c.id)))
    assert found == {delivery_id(ruled, message_id) for message_id in "abc"}
