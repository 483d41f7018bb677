"""What people see of deliveries, and how they are removed."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from satchel.gateway.store import history
from satchel.gateway.store.accounts import register_accounts
from satchel.gateway.store.audit import Acting
from satchel.gateway.store.history import (
    Asked,
    Attempt,
    DeliveryRow,
    UnknownDelivery,
    export_deliveries,
    find_delivery,
    list_deliveries,
    remove_deliveries,
    webhooks_called,
)
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.tables import delivery_attempts
from satchel.gateway.store.webhook_changes import pause_webhook, remove_webhook
from satchel.gateway.store.webhooks import NewWebhook, UnknownWebhook, add_webhook
from satchel.gateway.webhooks.decision import DeliveryStatus
from tests.unit.gateway.fakes import MAILBOX, OTHER_MAILBOX
from tests.unit.gateway.store.past import LONG_AGO, attempted, delivered, statuses

HOUR = timedelta(hours=1)


def add(engine: sa.Engine, name: str = "w", account_id: str | None = None) -> str:
    who = Acting() if account_id is None else Acting(account_id)
    for address in (MAILBOX, OTHER_MAILBOX):
        add_mailbox(engine, address, acting=who)
    new = NewWebhook(name, "https://example.com/", [MAILBOX, OTHER_MAILBOX])
    return add_webhook(engine, new, acting=who).webhook_id


@pytest.fixture
def hook(engine: sa.Engine) -> str:
    return add(engine)


def listed(engine: sa.Engine, asked: Asked = Asked(), limit: int = 100) -> list[str]:  # noqa: B008
    return [row.delivery_id for row in list_deliveries(engine, asked, limit)]


def exported(engine: sa.Engine, asked: Asked = Asked()) -> list[str]:  # noqa: B008
    return [told.delivery.delivery_id for told in export_deliveries(engine, asked)]


def test_a_delivery_is_shown_with_each_attempt(engine: sa.Engine, hook: str) -> None:
    delivery = delivered(
        engine, hook, "m", status=DeliveryStatus.FAILED, rule_id="rule", last_status_code=502, last_error="http_502"
    )
    attempted(engine, delivery, 2, status_code=502, error="http_502", answer="bad gateway")
    attempted(engine, delivery, 1, error="interrupted")
    attempted(engine, delivery, 3, ended=False)
    told = find_delivery(engine, delivery)
    assert told.delivery == DeliveryRow(
        delivery_id="delivery-m",
        account="default",
        webhook_id=hook,
        webhook="w",
        webhook_paused=False,
        mailbox=MAILBOX,
        message_id="m",
        rule_id="rule",
        status=DeliveryStatus.FAILED,
        attempts=1,
        created_at=LONG_AGO + timedelta(minutes=1),
        next_attempt_at=None,
        finished_at=LONG_AGO + timedelta(minutes=1),
        last_status_code=502,
        last_error="http_502",
    )
    end = LONG_AGO + timedelta(seconds=1)
    assert told.attempts == (
        Attempt(1, LONG_AGO, end, None, "interrupted", None),
        Attempt(2, LONG_AGO, end, 502, "http_502", "bad gateway"),
        Attempt(3, LONG_AGO, None, None, None, None),
    )


def test_what_is_not_there_is_advised(engine: sa.Engine, hook: str) -> None:
    delivered(engine, hook, "m")
    acme = register_accounts(engine, ["acme"], actor="cli:0")["acme"]
    for delivery_id, account_id in (("none", None), ("delivery-m", acme)):
        with pytest.raises(UnknownDelivery, match="satchel gateway deliveries list"):
            find_delivery(engine, delivery_id, account_id)
    with pytest.raises(UnknownWebhook):
        webhooks_called(engine, "w", acme)


def test_filters(engine: sa.Engine, hook: str) -> None:
    acme = register_accounts(engine, ["acme"], actor="cli:0")["acme"]
    theirs = add(engine, "theirs", acme)
    other = add(engine, "other")
    a = delivered(engine, hook, "a", status=DeliveryStatus.FAILED)
    b = delivered(engine, hook, "b", mailbox=OTHER_MAILBOX)
    c = delivered(engine, other, "c", status=DeliveryStatus.PENDING)
    d = delivered(engine, theirs, "d", created_at=LONG_AGO + HOUR)
    pause_webhook(engine, "other", "works")
    for asked, expected in (
        (Asked(), [a, b, c, d]),
        (Asked(account_id=acme), [d]),
        (Asked(webhook_ids=[other, theirs]), [c, d]),
        (Asked(webhook_ids=webhooks_called(engine, "w")), [a, b]),
        (Asked(mailbox=OTHER_MAILBOX), [b]),
        (Asked(statuses=[DeliveryStatus.FAILED, DeliveryStatus.PENDING]), [a, c]),
        (Asked(message_id="c"), [c]),
        (Asked(since=LONG_AGO + HOUR), [d]),
        (Asked(until=LONG_AGO + HOUR), [a, b, c]),
        (Asked(finished_since=LONG_AGO), [a, b, d]),
        (Asked(webhook_ids=[hook], statuses=[DeliveryStatus.PENDING]), []),
    ):
        assert listed(engine, asked) == exported(engine, asked) == expected, asked
    assert listed(engine, limit=2) == [c, d]
    assert [row.webhook_paused for row in list_deliveries(engine, Asked(), 9)] == [False, False, True, False]


def test_the_history_of_a_removed_webhook_stays(engine: sa.Engine, hook: str) -> None:
    delivery = delivered(engine, hook, "m")
    remove_webhook(engine, "w")
    add(engine)
    assert listed(engine, Asked(webhook_ids=webhooks_called(engine, "w"))) == [delivery]


def test_an_export_comes_in_pieces_and_each_delivery_once(
    engine: sa.Engine, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_BATCH", 2)
    # Many begin in one transaction and so at one instant.
    expected = sorted(delivered(engine, hook, str(number), created_at=LONG_AGO) for number in range(5))
    attempted(engine, "delivery-4", 1, status_code=200)
    found = []
    for told in export_deliveries(engine, Asked()):
        # What is written meanwhile is no reason to begin anew.
        if told.delivery.delivery_id == expected[0]:
            expected.append(delivered(engine, hook, "new", created_at=LONG_AGO + HOUR))
        found.append(told.delivery.delivery_id)
        assert len(told.attempts) == (told.delivery.delivery_id == "delivery-4")
    assert found == expected


def test_what_has_ended_long_ago_is_removed_with_its_attempts(engine: sa.Engine, hook: str) -> None:
    for number in range(5):
        delivery = delivered(engine, hook, str(number), created_at=LONG_AGO + number * HOUR)
        attempted(engine, delivery, 1)
    waiting = delivered(engine, hook, "waiting", status=DeliveryStatus.PENDING)
    # A clock that was put back, or somebody at the database.
    odd = delivered(engine, hook, "odd", status=DeliveryStatus.PENDING, finished_at=LONG_AGO)
    assert [remove_deliveries(engine, LONG_AGO + 3 * HOUR, 2) for _ in range(3)] == [2, 1, 0]
    assert set(statuses(engine)) == {"delivery-3", "delivery-4", waiting, odd}
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(delivery_attempts)) == 2


def test_nothing_is_searched_through_to_find_what_is_old(engine: sa.Engine, hook: str) -> None:
    plans: list[str] = []

    def explain(connection: sa.Connection, cursor: object, statement: str, parameters: object, *_: object) -> None:
        if statement.startswith("DELETE"):
            found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
            plans.extend(str(row[-1]) for row in found)

    sa.event.listen(engine, "before_cursor_execute", explain)
    remove_deliveries(engine, LONG_AGO, 2)
    assert any("ix_deliveries_finished_at" in plan for plan in plans)
    assert not [plan for plan in plans if plan.startswith("SCAN")]
