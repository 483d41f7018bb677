"""Takes up what could not be described so far, when its time has come."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import sqlalchemy as sa
import structlog

from satchel.gateway.store.database import Store
from satchel.gateway.store.pending import PendingMessage, due_messages
from satchel.mail.source import SourceError

_SLICE = 200
# Another process may have written down what arrived.
_POLL_SECONDS = 1.0

log = structlog.get_logger(__name__)


class PendingWork:
    """Of one account, each mailbox by itself; `describe` tries messages again and writes down what became of them."""

    def __init__(
        self,
        account_id: str,
        store: Store,
        describe: Callable[[Sequence[PendingMessage]], Awaitable[None]],
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._account_id = account_id
        self._store = store
        self._describe = describe
        self._now = now
        self._woken = asyncio.Event()
        self._busy: set[str] = set()

    def wake(self) -> None:
        """Something was written down as pending: look at once."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled; trouble is tried again."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._woken.clear()
                try:
                    due = await self._due_by_mailbox()
                except (sa.exc.SQLAlchemyError, OSError) as error:
                    log.warning("pending_interrupted", account_id=self._account_id, error=type(error).__name__)
                    due = {}
                for mailbox, messages in due.items():
                    tasks.create_task(self._try_again(mailbox, messages))
                try:
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._woken.wait()
                except TimeoutError:
                    continue

    async def take_up(self) -> None:
        """Try again, once, the messages whose time has come."""
        due = await self._due_by_mailbox()
        await asyncio.gather(*(self._try_again(mailbox, messages) for mailbox, messages in due.items()))

    async def _due_by_mailbox(self) -> dict[str, list[PendingMessage]]:
        """What is due in mailboxes that are not at work already, which they are from now on."""
        due = await self._store.call(
            due_messages, self._account_id, self._now(), limit=_SLICE, but_not_of=frozenset(self._busy)
        )
        by_mailbox: dict[str, list[PendingMessage]] = {}
        for message in due:
            by_mailbox.setdefault(message.ref.mailbox, []).append(message)
        self._busy |= by_mailbox.keys()
        return by_mailbox

    async def _try_again(self, mailbox: str, messages: Sequence[PendingMessage]) -> None:
        try:
            await self._describe(messages)
            # There may be more of it than one slice.
            self._woken.set()
        except (SourceError, sa.exc.SQLAlchemyError, OSError) as error:
            log.warning("pending_interrupted", account_id=self._account_id, error=type(error).__name__)
        finally:
            self._busy.discard(mailbox)
