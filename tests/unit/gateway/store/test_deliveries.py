"""What waits to be delivered, and the lanes that somebody has to look at."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from satchel.gateway.store.deliveries import (
    Lane,
    Waiting,
    count_waiting,
    due_lanes,
    find_waiting_lanes,
    make_pending,
    runs_to_begin,
)
from satchel.gateway.store.tables import deliveries, delivery_lanes
from satchel.gateway.store.webhook_changes import remove_webhook
from satchel.gateway.store.webhooks import UnknownWebhook, list_webhooks
from tests.unit.gateway.store.lane import arrive, delivered, make_lane, retried, rows_of


def test_what_arrives_makes_its_lane_due(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b")
    assert due_lanes(engine, lane.now) == [lane.lane]
    assert due_lanes(engine, None) == [lane.lane]
    assert runs_to_begin(engine, [lane.lane, Lane("other", "other")]) == {lane.lane: 1}
    lane.ends(delivered(lane.begin(delivered(lane.begin()))))
    assert due_lanes(engine, None) == []
    assert runs_to_begin(engine, [lane.lane]) == {}
    assert arrive(engine, "c") == {lane.lane}
    assert runs_to_begin(engine, [lane.lane]) == {lane.lane: 2}


def test_a_lane_whose_time_has_not_come_is_due_later(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a")
    lane.ends(retried(lane.begin(), 60))
    assert due_lanes(engine, lane.now) == []
    assert due_lanes(engine, lane.now + timedelta(seconds=60)) == due_lanes(engine, None) == [lane.lane]


def test_what_is_to_be_sent_again_makes_its_lane_due(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b")
    lane.ends(delivered(lane.begin(delivered(lane.begin()))))
    with engine.begin() as connection:
        make_pending(connection, [lane.id_of("a")], lane.now)
    assert lane.is_due
    begun = lane.begin()
    assert (begun.delivery_id, begun.attempt, begun.number) == (lane.id_of("a"), 1, 2)
    lane.ends(delivered(begun))
    assert lane.statuses() == ["delivered", "delivered"]


def test_what_nobody_would_look_at_is_found(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a")
    with engine.begin() as connection:
        connection.execute(sa.update(delivery_lanes).values(due_at=None))
    assert due_lanes(engine, None) == []
    find_waiting_lanes(engine, lane.now)
    assert rows_of(engine, delivery_lanes, "run", "due_at") == [(1, lane.now)]
    with engine.begin() as connection:
        connection.execute(sa.delete(delivery_lanes))
    find_waiting_lanes(engine, lane.now)
    assert lane.is_due
    find_waiting_lanes(engine, lane.now + timedelta(seconds=9))
    assert rows_of(engine, delivery_lanes, "run", "due_at") == [(1, lane.now)]


def test_how_much_waits(engine: sa.Engine) -> None:
    assert count_waiting(engine) == Waiting()
    lane = make_lane(engine, "a", "b")
    first = count_waiting(engine)
    assert first.deliveries == 2
    assert first.oldest_created_at is not None
    assert first.oldest_created_at <= datetime.now(UTC)
    lane.begin(delivered(lane.begin()))
    assert count_waiting(engine).deliveries == 1


def test_nothing_is_searched_through_to_find_what_comes_next(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a")
    plans: list[str] = []

    def explain(_connection: sa.Connection, cursor: object, statement: str, parameters: object, *_rest: object) -> None:
        if statement.startswith("SELECT") and "deliveries" in statement:
            with engine.connect() as other:
                plan = other.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
                plans.extend(str(row[3]) for row in plan)

    sa.event.listen(engine, "before_cursor_execute", explain)
    lane.ends(retried(lane.begin()))
    sa.event.remove(engine, "before_cursor_execute", explain)
    assert any("ix_deliveries_lane" in plan for plan in plans)
    assert [plan for plan in plans if plan.startswith("SCAN") or "TEMP B-TREE" in plan] == []


def test_a_removed_webhook_forgets_its_secret(engine: sa.Engine) -> None:
    make_lane(engine, "a")
    assert list_webhooks(engine)[0].has_secret
    remove_webhook(engine, "w")
    with engine.connect() as connection:
        assert connection.scalars(sa.text("SELECT sealed_secret FROM webhooks")).all() == [None]
        assert connection.scalars(sa.select(deliveries.c.status)).all() == ["cancelled"]
    with pytest.raises(UnknownWebhook):
        remove_webhook(engine, "w")
