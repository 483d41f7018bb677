"""The folder source's own threads, so that a slow disk holds up nothing but itself."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from satchel.mail.source import SourceUnavailable

T = TypeVar("T")


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class Threads:
    """Runs blocking functions. What was begun for a caller that is cancelled runs to its end and is dropped."""

    def __init__(self, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="mail-folder")

    def submit(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Raises `SourceUnavailable` after `close`."""
        try:
            return asyncio.get_running_loop().run_in_executor(self._executor, function)
        except RuntimeError as error:
            raise SourceUnavailable("The mail source is closed.") from error

    async def run_opening(self, function: Callable[[], C]) -> C:
        """Like awaiting `submit`, for what must be closed: also when its caller is cancelled before it gets it."""
        future = self.submit(function)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(_close_result)
            raise

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


def drop(future: asyncio.Future[T]) -> None:
    """Let go of a result that nobody waits for any more, and of its failure."""
    future.cancel()
    future.add_done_callback(_forget)


def _close_result(future: asyncio.Future[C]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()


def _forget(future: asyncio.Future[T]) -> None:
    if not future.cancelled():
        future.exception()
