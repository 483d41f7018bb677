"""Opens the gateway's database and runs its short synchronous calls in a few threads of their own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from satchel.durable.database import open_private
from satchel.gateway.store.tables import accounts

DATABASE_FILE = "gateway.db"
_MIGRATIONS = Path(__file__).parent / "migrations"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def open_database(data_dir: Path) -> sa.Engine:
    """The gateway's database in its data folder, made if missing and brought to the newest schema.

    The file is readable by its owner only, because it holds webhook secrets. Works beside a running gateway.
    """
    return open_private(data_dir / DATABASE_FILE, _MIGRATIONS)


class Store:
    """Calls the functions of this package from the event loop: each gets the engine and runs in one thread hop."""

    def __init__(self, engine: sa.Engine, threads: int) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store")

    async def call(
        self,
        function: Callable[Concatenate[sa.Engine, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        work = partial(function, self._engine, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Wait for calls under way and close the connections."""
        self._threads.shutdown()
        self._engine.dispose()


def read_something(engine: sa.Engine) -> None:
    """Read a row of ours. Raises SQLAlchemyError where that cannot be done."""
    with engine.connect() as connection:
        # SQLite answers what needs no table, such as SELECT 1, without a look at the file.
        connection.execute(sa.select(accounts.c.id).limit(1)).all()
