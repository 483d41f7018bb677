"""What is old goes, a few rows at a time, and again after trouble with the database."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from satchel.gateway import retention
from satchel.gateway.retention import Kept, keep, remove_old
from satchel.gateway.store.audit import RefusedCalls, list_events, record_calls, remove_events
from satchel.gateway.store.database import Store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EVENTS = Kept("audit_events", 10, remove_events)


def refuse(engine: sa.Engine, reason: str, at: datetime) -> None:
    record_calls(engine, [RefusedCalls(None, None, "/route", reason, 404, "request-1", 1)], {}, at)


def reasons(engine: sa.Engine) -> list[str | None]:
    return [event.reason for event in list_events(engine)]


async def test_what_is_old_is_removed_in_batches(
    engine: sa.Engine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for days in range(7):
        refuse(engine, str(days), NOW + timedelta(days=days))
    assert await remove_old(store, EVENTS, NOW + timedelta(days=5)) == 5
    assert reasons(engine) == ["5", "6"]
    assert await remove_old(store, EVENTS, NOW + timedelta(days=5)) == 0


async def test_it_goes_on_after_trouble_with_the_database(
    engine: sa.Engine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "INTERVAL_SECONDS", 0)
    now = datetime.now(UTC)
    refuse(engine, "old", now - timedelta(days=11))
    refuse(engine, "young", now - timedelta(days=9))
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE audit_events RENAME TO away")
    with capture_logs() as log:
        keeping = asyncio.create_task(keep(store, EVENTS))
        while not log:
            assert not keeping.done()
            await asyncio.sleep(0)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE away RENAME TO audit_events")
        while log[-1]["event"] != "audit_events_removed":
            assert not keeping.done()
            await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.wait({keeping})
    assert log[0]["event"] == "audit_events_retention_interrupted"
    assert reasons(engine) == ["young"]
