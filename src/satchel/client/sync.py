"""The blocking face: the same client, run in an event loop on a thread of its own. It holds no logic of the calls."""

import asyncio
import functools
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, contextmanager
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from satchel.client.aio import AsyncClient
from satchel.client.calls import REAL, Ambience
from satchel.client.errors import ConfigurationError
from satchel.client.retry import DEFAULT_RETRIES, RetryPolicy
from satchel.client.stream import AttachmentStream, Described, StreamHead
from satchel.client.transport import DEFAULT_TIMEOUTS, Timeouts
from satchel.contract.headers import RateLimitState

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Item = TypeVar("Item")


class _LoopThread:
    """An event loop that runs until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="satchel-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for the work. An interrupt of the waiting thread (Ctrl-C) cancels it; `close` waits for its end."""
        future: Future[Result] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            if not future.done():
                future.cancel()
            raise

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """End what runs, do the last thing, and end the thread."""
        try:
            self.run(_finish_tasks())
            self.run(last())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


async def _finish_tasks() -> None:
    """End what an interrupt left behind, so that its clean-up runs."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


class BlockingAttachmentStream(Described):
    """An open download; iterate over it once. Iteration raises IncompleteBody where the body ends early."""

    def __init__(self, head: StreamHead, pieces: Iterator[bytes]) -> None:
        super().__init__(head)
        self._pieces = pieces

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)


def _blocking(
    method: Callable[Concatenate[AsyncClient, Parameters], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate["Client", Parameters], Result]:
    """The method of AsyncClient, with its signature and its promise, waited for."""

    @functools.wraps(method)
    def call(self: "Client", /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        return self.run(lambda client: method(client, *args, **kwargs))

    return call


def _blocking_stream(
    method: Callable[Concatenate[AsyncClient, Parameters], AbstractAsyncContextManager[AttachmentStream]],
) -> Callable[Concatenate["Client", Parameters], AbstractContextManager[BlockingAttachmentStream]]:
    @functools.wraps(method)
    @contextmanager
    def opened(
        self: "Client", /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Iterator[BlockingAttachmentStream]:
        with ExitStack() as stack:
            manager = method(self.client, *args, **kwargs)
            stream = self.run(lambda _: _enter(manager))
            stack.push(lambda *raised: self.run(lambda _: _leave(manager, *raised)))
            yield BlockingAttachmentStream(stream.head, self.iterate(stream))

    return opened


def _blocking_iterator(
    method: Callable[Concatenate[AsyncClient, Parameters], AsyncGenerator[Item]],
) -> Callable[Concatenate["Client", Parameters], Iterator[Item]]:
    """An iterator that asks for more only when it is asked itself."""

    @functools.wraps(method)
    def iterated(self: "Client", /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Iterator[Item]:
        return self.iterate(method(self.client, *args, **kwargs))

    return iterated


async def _enter(manager: AbstractAsyncContextManager[AttachmentStream]) -> AttachmentStream:
    return await manager.__aenter__()


async def _leave(manager: AbstractAsyncContextManager[AttachmentStream], *raised: Any) -> bool | None:
    return await manager.__aexit__(*raised)


async def _next(items: AsyncIterator[Item]) -> Item | None:
    return await anext(items, None)


class Client:
    """`AsyncClient` for code without an event loop: the same arguments, methods and errors. Use it with `with`.

    May be used from several threads. `on_progress` is called on the client's own thread.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        retry: RetryPolicy = DEFAULT_RETRIES,
        allow_http: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        ambience: Ambience = REAL,
    ) -> None:
        self.client = AsyncClient(
            base_url,
            api_key,
            timeouts=timeouts,
            retry=retry,
            allow_http=allow_http,
            ssl_context=ssl_context,
            ambience=ambience,
        )
        self._thread: _LoopThread | None = None

    def __repr__(self) -> str:
        return repr(self.client).removeprefix("Async")

    def __enter__(self) -> Self:
        self._thread = _LoopThread()
        self.run(lambda client: client.__aenter__())
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.close(self.client.aclose)

    @property
    def rate_limit(self) -> RateLimitState | None:
        return self.client.rate_limit

    def run(self, work: Callable[[AsyncClient], Coroutine[Any, Any, Result]]) -> Result:
        """Wait for a coroutine of the asynchronous client, on the client's own thread."""
        if self._thread is None:
            raise ConfigurationError("The client is not open. Use it with `with Client(...) as client:`.")
        return self._thread.run(work(self.client))

    def iterate(self, items: AsyncIterator[Item]) -> Iterator[Item]:
        """The items of what belongs to the client's thread, one by one, as they are asked for."""
        while (item := self.run(lambda _: _next(items))) is not None:
            yield item

    mailboxes = _blocking(AsyncClient.mailboxes)
    messages = _blocking_iterator(AsyncClient.messages)
    list_attachments = _blocking(AsyncClient.list_attachments)
    open_attachment = _blocking_stream(AsyncClient.open_attachment)
    download = _blocking(AsyncClient.download)
    download_archive = _blocking(AsyncClient.download_archive)
