"""Opens the ledger and runs its short statements off the event loop, those that come together in one transaction."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from satchel.durable.database import open_private

LEDGER_FILE = "ledger.sqlite"
_MIGRATIONS = Path(__file__).parent / "migrations"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def open_ledger(data_dir: Path) -> sa.Engine:
    """The ledger's database, made if missing and brought to the newest schema. Works beside a running collector.

    Only its owner can read the file, because it holds file names and addresses.
    """
    return open_private(data_dir / LEDGER_FILE, _MIGRATIONS)


@dataclass(frozen=True, slots=True)
class _Call:
    work: Callable[[sa.Connection], Any]
    done: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


class Ledger:
    """Calls functions that take a connection first. A call returns when what it wrote is on disk.

    Calls that come while others commit share the next transaction: its one fsync serves them all. A call that fails
    does not touch the others, because then each is run again in a transaction of its own.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._waiting: list[_Call] = []
        self._running: asyncio.Task[None] | None = None

    async def call(
        self,
        function: Callable[Concatenate[sa.Connection, Arguments], Result],
        *arguments: Arguments.args,
        **keywords: Arguments.kwargs,
    ) -> Result:
        def work(connection: sa.Connection) -> Result:
            return function(connection, *arguments, **keywords)

        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(work, done))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run_waiting())
        return await done

    async def _run_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            run = partial(_run_batch, self._engine, [call.work for call in batch])
            running = loop.run_in_executor(self._thread, run)
            await asyncio.wait([running])
            results = running.result() if running.exception() is None else [_Raised(_of(running))] * len(batch)
            for call, result in zip(batch, results, strict=True):
                if call.done.done():
                    continue
                if isinstance(result, _Raised):
                    call.done.set_exception(result.error)
                else:
                    call.done.set_result(result)

    async def aclose(self) -> None:
        """Wait for what was asked and close the database."""
        if self._running is not None:
            await asyncio.wait([self._running])
        await asyncio.to_thread(self._thread.shutdown)
        self._engine.dispose()


def _of(future: asyncio.Future[Any]) -> Exception:
    error = future.exception()
    return error if isinstance(error, Exception) else RuntimeError("The ledger's thread ended.")


def _run_batch(engine: sa.Engine, batch: list[Callable[[sa.Connection], Any]]) -> list[Any]:
    try:
        with engine.begin() as connection:
            return [work(connection) for work in batch]
    except Exception as error:  # noqa: BLE001 - whatever one call raises, the others are not to blame
        if len(batch) == 1:
            return [_Raised(error)]
        return [result for work in batch for result in _run_batch(engine, [work])]
