"""The durable engine on the real library and a SQLite file: what the programs rely on."""

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from satchel.durable.database import sqlite_url
from satchel.durable.engine import DurableEngine, JsonSerializer, for_ever
from satchel.durable.logs import ForwardingHandler, forwarded_logs


class Runs:
    """A workflow that notes its runs, and can hold them."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.running = 0
        self.most = 0
        self.free = asyncio.Event()
        self.free.set()
        self.threads: set[threading.Thread] = set()

    async def __call__(self, what: str) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        self.threads.add(threading.current_thread())
        try:
            await self.free.wait()
            self.seen.append(what)
            if what == "broken":
                raise RuntimeError("a secret name")
        finally:
            self.running -= 1


def engine(folder: Path, runs: Runs, *, concurrency: int = 2) -> DurableEngine:
    made = DurableEngine("satchel-test", sqlite_url(folder / "durable.db"))
    made.register("work", runs, concurrency=concurrency)
    return made


async def until(condition: Callable[[], bool]) -> None:
    """The queue is polled, so waiting means looking again; pytest's timeout ends it."""
    while not condition():
        await asyncio.sleep(0.01)


async def test_work_is_done_once_per_id_on_the_launching_loop(tmp_path: Path) -> None:
    runs = Runs()
    durable = engine(tmp_path, runs)
    await durable.launch()
    await asyncio.gather(*(durable.enqueue("work", f"id-{number % 5}", str(number % 5)) for number in range(20)))
    await until(lambda: len(runs.seen) >= 5)
    await durable.enqueue("work", "id-0", "0")
    await durable.enqueue("work", "delayed", "delayed", delay_seconds=0.01)
    await until(lambda: "delayed" in runs.seen)
    await durable.shutdown()
    assert sorted(runs.seen) == ["0", "1", "2", "3", "4", "delayed"]
    assert runs.threads == {threading.current_thread()}


async def test_what_a_shutdown_cut_off_is_run_again_and_what_ended_is_not(tmp_path: Path) -> None:
    first = Runs()
    durable = engine(tmp_path, first)
    await durable.launch()
    await durable.enqueue("work", "done", "done")
    await until(lambda: first.seen == ["done"])
    first.free.clear()
    for number in range(4):
        await durable.enqueue("work", f"id-{number}", str(number))
    await until(lambda: first.running == 2)
    await durable.shutdown(grace_seconds=0)
    assert first.seen == ["done"]
    second = Runs()
    durable = engine(tmp_path, second)
    await durable.launch()
    await durable.enqueue("work", "done", "done")
    await until(lambda: len(second.seen) == 4)
    await durable.shutdown()
    assert sorted(second.seen) == ["0", "1", "2", "3"]
    assert second.most <= 2


async def test_a_defect_is_logged_without_its_message_and_stops_nothing(tmp_path: Path) -> None:
    runs = Runs()
    durable = engine(tmp_path, runs)
    await durable.launch()
    with capture_logs() as logs:
        await durable.enqueue("work", "broken", "broken")
        await durable.enqueue("work", "good", "good")
        await until(lambda: {"broken", "good"} <= set(runs.seen))
        await durable.shutdown()
    assert [entry["error"] for entry in logs if entry["log_level"] == "error"] == ["RuntimeError"]
    assert "secret" not in str(logs)


async def test_the_id_of_what_has_ended_is_free_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that were restored from a backup may ask for it anew."""
    monkeypatch.setattr("satchel.durable.engine.KEEP_FINISHED", timedelta(0))
    monkeypatch.setattr("satchel.durable.engine.CLEANUP_INTERVAL_SECONDS", 0.05)
    runs = Runs()
    durable = engine(tmp_path, runs)
    await durable.launch()
    while len(runs.seen) < 2:
        await durable.enqueue("work", "id", "again")
        await asyncio.sleep(0.02)
    await durable.shutdown()
    assert runs.seen == ["again", "again"]


async def test_enqueueing_before_the_launch_is_an_error(tmp_path: Path) -> None:
    durable = engine(tmp_path, Runs())
    with pytest.raises(RuntimeError, match="not launched"):
        await durable.enqueue("work", "id", "x")
    await durable.shutdown()


def test_arguments_are_json_and_exceptions_only_their_class() -> None:
    serializer = JsonSerializer()
    arguments = {"args": ["a", 1], "kwargs": {}}
    assert serializer.deserialize(serializer.serialize(arguments)) == arguments
    assert serializer.serialize(ValueError("a secret name")) == '"ValueError"'


def test_the_librarys_log_is_forwarded_from_warning_on() -> None:
    library = logging.getLogger("dbos")
    before = list(library.handlers)
    for _ in range(2):
        forwarded_logs(structlog.get_logger())
    assert [type(handler) for handler in library.handlers] == [ForwardingHandler]
    with capture_logs() as logs:
        library.info("Initializing")
        library.warning("Asyncio task cancelled for workflow or step")
        library.warning("Trouble with %s", "a secret name")
        # As DBOS does: formatted before it is logged.
        library.warning("Exception in a secret name")
    library.handlers[:] = before
    assert [entry["text"] for entry in logs] == ["Trouble with %s", None]
    assert {entry["where"].partition(":")[0] for entry in logs} == {"test_engine.py"}


async def test_a_background_routine_goes_on_after_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("satchel.durable.engine.IDLE_AFTER_SECONDS", 0)
    rounds: list[int] = []
    again = asyncio.Event()

    async def routine() -> None:
        rounds.append(1)
        if len(rounds) == 1:
            raise ZeroDivisionError("a secret name")
        again.set()
        await asyncio.Event().wait()

    with capture_logs() as logs:
        task = asyncio.create_task(for_ever(routine))
        await asyncio.wait([task, waiting := asyncio.create_task(again.wait())], return_when="FIRST_COMPLETED")
        waiting.cancel()
        task.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
    assert (len(rounds), [entry["error"] for entry in logs]) == (2, ["ZeroDivisionError"])
    assert "secret" not in str(logs)
