"""Work on runs: taken up whoever began them, gone on with, and ended where the database fails for good."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from satchel.contract.reports import RunStatus
from satchel.durable.engine import DurableEngine
from satchel.gateway.reports import runs
from satchel.gateway.reports.runs import WORKFLOW, ReportRuns
from satchel.gateway.store.database import Store
from satchel.gateway.store.report_rows import count_slice
from satchel.gateway.store.reports import fail_run
from tests.unit.gateway.reports.conftest import NOW, Begin, Put, result


@dataclass
class RememberingEngine:
    """Remembers what it is asked for, and runs nothing."""

    functions: dict[str, Callable[..., Awaitable[None]]] = field(default_factory=dict)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def register(self, name: str, function: Callable[..., Awaitable[None]], *, concurrency: int) -> None:
        self.functions[name] = function

    async def enqueue(self, name: str, workflow_id: str, *arguments: Any) -> None:
        self.asked.append((name, workflow_id, *arguments))


@pytest.fixture
def durable() -> RememberingEngine:
    return RememberingEngine()


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def report_runs(store: Store, durable: RememberingEngine, slept: list[float]) -> ReportRuns:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    return ReportRuns(store, cast("DurableEngine", durable), clock=lambda: NOW, sleep=sleep)


def failing(monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """Let slices fail so often; the runs that were asked for."""
    asked: list[str] = []

    def count(engine: sa.Engine, run_id: str, *args: Any, **kwargs: Any) -> bool:
        asked.append(run_id)
        if len(asked) <= times:
            raise sa.exc.OperationalError("SELECT", {}, Exception("disk I/O error"))
        return count_slice(engine, run_id, *args, limit=2, **kwargs)

    monkeypatch.setattr(runs, "count_slice", count)
    return asked


async def test_a_run_is_counted_to_its_end(engine: sa.Engine, put: Put, begin: Begin, report_runs: ReportRuns) -> None:
    put(1, 2, 3)
    run = begin()
    await report_runs.work(run.run_id)
    assert result(engine, run)[0].total == 3
    await report_runs.work(run.run_id)
    assert result(engine, run)[0].total == 3


async def test_trouble_of_the_database_is_waited_for(
    engine: sa.Engine,
    put: Put,
    begin: Begin,
    report_runs: ReportRuns,
    slept: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(1, 2, 3)
    run = begin()
    failing(monkeypatch, times=3)
    with capture_logs() as logs:
        await report_runs.work(run.run_id)
    assert slept == [0.5, 2.0, 8.0]
    assert result(engine, run)[0].total == 3
    assert "disk" not in repr(logs)


async def test_a_database_that_fails_for_good_fails_the_run(
    engine: sa.Engine, begin: Begin, report_runs: ReportRuns, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin()
    asked = failing(monkeypatch, times=1000)
    await report_runs.work(run.run_id)
    assert (len(asked), slept) == (5, [0.5, 2.0, 8.0, 30.0, 30.0])
    assert result(engine, run)[0].status is RunStatus.ERROR
    # Final, whatever comes later.
    monkeypatch.undo()
    await report_runs.work(run.run_id)
    assert result(engine, run)[0].status is RunStatus.ERROR


async def test_a_failure_that_cannot_be_written_down_is_tried_again(
    engine: sa.Engine, begin: Begin, report_runs: ReportRuns, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin()
    failing(monkeypatch, times=5)
    asked: list[str] = []

    def fail(engine: sa.Engine, run_id: str, now: datetime) -> None:
        asked.append(run_id)
        if len(asked) <= 2:
            raise sa.exc.OperationalError("UPDATE", {}, Exception("database or disk is full"))
        fail_run(engine, run_id, now)

    monkeypatch.setattr(runs, "fail_run", fail)
    await report_runs.work(run.run_id)
    assert len(asked) == 3
    assert slept[5:] == [30.0, 30.0]
    assert result(engine, run)[0].status is RunStatus.ERROR


async def test_trouble_that_only_the_driver_met_is_waited_for(
    engine: sa.Engine, put: Put, begin: Begin, store: Store, durable: RememberingEngine
) -> None:
    put(1)
    run = begin()

    def rename(old: str, new: str) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")

    async def repair(_: float) -> None:
        rename("away", "report_runs")

    rename("report_runs", "away")
    await ReportRuns(store, cast("DurableEngine", durable), clock=lambda: NOW, sleep=repair).work(run.run_id)
    assert result(engine, run)[0].total == 1


async def test_runs_are_found_whoever_began_them(
    begin: Begin, report_runs: ReportRuns, durable: RememberingEngine
) -> None:
    run = begin()
    begin(now=NOW - timedelta(hours=2))
    assert durable.functions == {WORKFLOW: report_runs.work}
    await report_runs.look()
    assert durable.asked == [(WORKFLOW, run.run_id, run.run_id)]
    await report_runs.work(run.run_id)
    await report_runs.look()
    assert len(durable.asked) == 1


async def test_a_new_run_is_found_at_once(begin: Begin, report_runs: ReportRuns, durable: RememberingEngine) -> None:
    looking = asyncio.create_task(report_runs.run())
    await asyncio.sleep(0)
    run = begin()
    report_runs.wake()
    async with asyncio.timeout(30):
        while not durable.asked:
            await asyncio.sleep(0)
    assert durable.asked[0][1] == run.run_id
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking


async def test_looking_goes_on_when_the_database_fails(
    begin: Begin, report_runs: ReportRuns, durable: RememberingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 0

    def refuse(*_: Any, **__: Any) -> list[str]:
        nonlocal failures
        failures += 1
        monkeypatch.undo()
        report_runs.wake()
        raise sa.exc.OperationalError("SELECT", {}, Exception("locked"))

    monkeypatch.setattr(runs, "running_runs", refuse)
    run = begin()
    looking = asyncio.create_task(report_runs.run())
    async with asyncio.timeout(30):
        while not durable.asked:
            await asyncio.sleep(0)
    assert (failures, durable.asked[0][1]) == (1, run.run_id)
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
