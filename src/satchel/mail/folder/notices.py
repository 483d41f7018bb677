"""The kernel's notices of changed folders, collected until somebody takes them. They are hints: some get lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import structlog
import watchfiles

log = structlog.get_logger(__name__)

# Given folders and a way to stop: the paths in them that were added or modified, for ever.
Changes = Callable[[Sequence[Path], asyncio.Event], AsyncIterator[set[str]]]

_MAX_PATHS = 10_000
_GROUPING_MILLISECONDS = 250
_STEP_MILLISECONDS = 25
_STOP_TIMEOUT_SECONDS = 5.0


async def watch_folders(folders: Sequence[Path], stop: asyncio.Event) -> AsyncIterator[set[str]]:
    """Added and modified paths right in the folders. Raises `OSError` when the kernel cannot watch them.

    Not recursive: watchfiles would follow links out of the root, and tell of every write below `tmp/`.
    """
    changes = watchfiles.awatch(
        *folders,
        watch_filter=None,
        debounce=_GROUPING_MILLISECONDS,
        step=_STEP_MILLISECONDS,
        stop_event=stop,
        force_polling=False,
        recursive=False,
        ignore_permission_denied=True,
    )
    async with aclosing(changes) as batches:
        async for batch in batches:
            paths = {path for change, path in batch if change is not watchfiles.Change.deleted}
            if paths:
                yield paths


class Notices:
    """Watches a set of folders, which may be replaced by another without a gap."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._folders: object = None
        self._pump: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._wake = asyncio.Event()
        self._paths: set[str] = set()
        self._lost = False

    @property
    def failed(self) -> bool:
        """Whether nothing is being watched."""
        return self._pump is None or self._pump.done()

    async def watch(self, folders: Sequence[Path], identity: object) -> None:
        """Watch these folders from now on; `identity` is another when they are other folders by the same paths."""
        if not self.failed and self._folders == (folders, identity):
            return
        before = self._pump, self._stop
        self._folders = (folders, identity)
        self._stop = asyncio.Event()
        self._pump = asyncio.create_task(self._collect(folders, self._stop))
        # The first step of the task sets up the kernel's watches: what changes after it is noticed.
        await asyncio.sleep(0)
        await _end(*before)

    async def wait(self, timeout_seconds: float) -> None:
        """Until there is a notice, or the time has passed."""
        try:
            async with asyncio.timeout(max(0.0, timeout_seconds)):
                await self._wake.wait()
        except TimeoutError:
            return

    def take(self) -> tuple[set[str], bool]:
        """The paths since the last call, and whether there were more than could be kept."""
        paths, lost = self._paths, self._lost
        self._paths, self._lost = set(), False
        self._wake.clear()
        return paths, lost

    async def aclose(self) -> None:
        pump, self._pump = self._pump, None
        await _end(pump, self._stop)

    async def _collect(self, folders: Sequence[Path], stop: asyncio.Event) -> None:
        try:
            async for paths in self._changes(folders, stop):
                self._paths |= paths
                if len(self._paths) > _MAX_PATHS:
                    self._paths.clear()
                    self._lost = True
                self._wake.set()
        except (OSError, RuntimeError) as error:
            # inotify's limits, or a folder that has just gone: the regular look finds the mail meanwhile.
            log.warning("mail_folder.watching_failed", error=type(error).__name__)
        finally:
            self._wake.set()


async def _end(pump: asyncio.Task[None] | None, stop: asyncio.Event) -> None:
    """Stop a pump softly: its thread ends by itself once it sees the event."""
    if pump is None:
        return
    stop.set()
    _, running = await asyncio.wait({pump}, timeout=_STOP_TIMEOUT_SECONDS)
    if running:
        pump.cancel()
