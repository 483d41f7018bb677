"""Takes in what arrives at the mail source: into the index, with a delivery to every webhook that wants to know."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

import sqlalchemy as sa
import structlog

from satchel.gateway.store.database import Store
from satchel.gateway.store.deliveries import Lane
from satchel.gateway.store.mailboxes import indexed_addresses, mark_indexed, register_mailboxes
from satchel.gateway.store.messages import Arrival, known_message_ids, record_arrivals
from satchel.gateway.store.pending import (
    PendingMessage,
    Postponed,
    count_pending,
    drop_pending,
    due_messages,
    postpone,
    see_again,
)
from satchel.gateway.verdicts import Verdict, judge
from satchel.mail.source import Batch, MailSource, MessageRef, MessageSummary, NotReady, SourceError, SourceUnavailable

_SLICE = 200
_AT_ONCE = 16
# Another process may have written down what arrived.
_POLL_SECONDS = 1.0
_TROUBLE_PATIENCE = timedelta(seconds=5)

T = TypeVar("T")

log = structlog.get_logger(__name__)


class DeliveryQueue(Protocol):
    """Where deliveries are asked for; asking twice is asking once."""

    async def wake(self, lanes: Collection[Lane]) -> None:
        """Something new waits in these lanes. What nobody was woken for is found a little later."""
        ...


class Intake:
    """Keeps an account's index and its mail source in step, and asks for deliveries.

    A delivery is durable with its index row before it is asked for, so a crash at any point loses none; its id comes
    from webhook and message, so none is made twice. What cannot be described yet is written down as pending. What the
    source had before a mailbox was first indexed to the end is its baseline: it is never announced, and is in the
    index even where its envelope cannot be read just now.
    """

    def __init__(
        self,
        account_id: str,
        source: MailSource,
        store: Store,
        deliveries: DeliveryQueue,
        *,
        sweep_seconds: float,
        arrival_patience_seconds: float = 0.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`arrival_patience_seconds`: how long a message that is not found is looked for, since its mail server may
        announce it before it can be read."""
        self._account_id = account_id
        self._source = source
        self._store = store
        self._deliveries = deliveries
        self._sweep_seconds = sweep_seconds
        self._patience_seconds = arrival_patience_seconds
        self._now = now
        self._first_pass = True
        self._source_has_failed = False
        self._rest_is_new = False
        self._indexed: frozenset[str] | None = None
        self._indexed_count = 0
        self._undescribed_count = 0
        # The watch and what is pending may come to one message at once: then the second finds it in the index.
        self._recording = asyncio.Lock()
        self._woken = asyncio.Event()
        self._busy: set[str] = set()

    @property
    def is_caught_up(self) -> bool:
        """Whether everything that the source had at the start is in the index."""
        return not self._first_pass

    @property
    def is_awaited(self) -> bool:
        """Whether that is still under way, and its source has not failed since the start."""
        return self._first_pass and not self._source_has_failed

    @property
    def indexed_count(self) -> int:
        """How many messages have come into the index since the start."""
        return self._indexed_count

    @property
    def undescribed_count(self) -> int:
        """How many messages wait for being described at a later try."""
        return self._undescribed_count

    async def run(self) -> None:
        """Watch the source and sweep until cancelled; trouble with the source or the database is tried again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            tasks.create_task(self._sweep())
            tasks.create_task(self._take_up())

    def wake(self) -> None:
        """Something was written down as pending: look at once."""
        self._woken.set()

    async def take(self, batch: Batch) -> None:
        """Index what is new in a batch of the source and ask for its deliveries; all of it is durable afterwards."""
        for part in _slices(batch.messages, _SLICE):
            await self._take_slice({ref.message_id: ref for ref in part}, is_baseline=batch.is_baseline)
        self._rest_is_new |= batch.rest_is_new
        if batch.read_to_end or batch.rest_is_new:
            await self._end_baselines(batch.read_to_end)
        if batch.ends_first_pass and self._first_pass:
            self._first_pass = False
            log.info("intake_caught_up", account_id=self._account_id)

    async def take_up_pending(self) -> None:
        """Try again the messages whose time has come."""
        due = await self._due_by_mailbox()
        await asyncio.gather(*(self._try_again(mailbox, messages) for mailbox, messages in due.items()))

    async def sweep(self) -> None:
        """Take up what was left over: mailboxes that are new."""
        if self._rest_is_new:
            await self._end_baselines(frozenset())
        self._undescribed_count = await self._store.call(count_pending, self._account_id)

    async def _watch(self) -> None:
        while True:
            batches = self._source.watch()
            try:
                async for batch in batches:
                    await self.take(batch)
            except (SourceError, sa.exc.SQLAlchemyError, OSError) as error:
                self._source_has_failed |= not isinstance(error, sa.exc.SQLAlchemyError)
                log.warning("intake_interrupted", account_id=self._account_id, error=type(error).__name__)
            finally:
                if isinstance(batches, AsyncGenerator):
                    await batches.aclose()
            await asyncio.sleep(self._sweep_seconds)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._sweep_seconds)
            try:
                await self.sweep()
            except (SourceError, sa.exc.SQLAlchemyError, OSError) as error:
                log.warning("sweep_interrupted", account_id=self._account_id, error=type(error).__name__)

    async def _take_up(self) -> None:
        """Pending messages, when they are due or somebody has written one down; each mailbox by itself."""
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
            known = await self._known([message.ref for message in messages], with_unreadable=False)
            await self._describe(
                [message for message in messages if message.ref.message_id not in known],
                pending=messages,
            )
            # There may be more of it than one slice.
            self._woken.set()
        except (SourceError, sa.exc.SQLAlchemyError, OSError) as error:
            log.warning("pending_interrupted", account_id=self._account_id, error=type(error).__name__)
        finally:
            self._busy.discard(mailbox)

    async def _take_slice(self, refs: dict[str, MessageRef], *, is_baseline: bool) -> None:
        unheard_of = {ref.mailbox for ref in refs.values()} - await self._indexed_mailboxes()
        if unheard_of and self._rest_is_new:
            # Before its messages, so that a crash does not make a baseline of those that follow.
            await self._end_baselines(frozenset(unheard_of))
        # What could not be read before is tried again once after every start.
        known = await self._known(refs.values(), with_unreadable=not self._first_pass)
        new = [ref for message_id, ref in refs.items() if message_id not in known]
        if new:
            # What is pending is durable already, and its turn comes.
            now = self._now()
            pending = await self._store.call(see_again, self._account_id, [ref.message_id for ref in new], now)
            await self._describe(
                [PendingMessage(ref, now) for ref in new if (ref.mailbox, ref.message_id) not in pending],
                is_baseline=is_baseline,
            )

    async def _describe(
        self, messages: Sequence[PendingMessage], pending: Sequence[PendingMessage] = (), *, is_baseline: bool = False
    ) -> None:
        """Describe messages and write down what became of each; `pending` are those that were pending so far.

        The baseline is also what is in a mailbox that is not indexed to the end.
        """
        indexed = await self._indexed_mailboxes()
        verdicts: list[tuple[PendingMessage, Verdict]] = []
        in_trouble: set[str] = set()
        began = self._now()
        for group in _slices(messages, _AT_ONCE):
            described = await asyncio.gather(
                *(self._description(message.ref, in_trouble, began) for message in group), return_exceptions=True
            )
            now = self._now()
            for message, result in zip(group, described, strict=True):
                if isinstance(result, BaseException) and not isinstance(result, Exception):
                    raise result
                is_old = is_baseline or message.ref.mailbox not in indexed
                verdict = judge(message, result, is_baseline=is_old, now=now, patience_seconds=self._patience_seconds)
                verdicts.append((message, verdict))
                self._log_failure(message, result, verdict)
        await self._write_down(verdicts, pending)

    async def _description(self, ref: MessageRef, in_trouble: set[str], began: datetime) -> MessageSummary | None:
        """None where the mail server has refused another message of this mailbox, and took its time: the messages of
        other mailboxes wait."""
        if ref.mailbox in in_trouble and self._now() - began > _TROUBLE_PATIENCE:
            return None
        try:
            return await self._source.describe(ref)
        except NotReady:
            raise
        except SourceUnavailable:
            in_trouble.add(ref.mailbox)
            raise

    async def _write_down(
        self, verdicts: Sequence[tuple[PendingMessage, Verdict]], pending: Sequence[PendingMessage]
    ) -> None:
        """In this order, so that a crash in between leaves a message pending that is in the index, not the reverse."""
        arrivals = [verdict.arrival for _, verdict in verdicts if verdict.arrival is not None]
        if arrivals:
            await self._record(arrivals)
        postponed: list[Postponed] = [verdict.postponed for _, verdict in verdicts if verdict.postponed is not None]
        if postponed:
            await self._store.call(postpone, self._account_id, postponed)
        waiting = {each.message.ref for each in postponed}
        done = [each for each in pending if each.ref not in waiting]
        if done:
            await self._store.call(drop_pending, self._account_id, done)
        if postponed or done:
            self._undescribed_count = await self._store.call(count_pending, self._account_id)

    def _log_failure(
        self, message: PendingMessage, result: MessageSummary | Exception | None, verdict: Verdict
    ) -> None:
        if not isinstance(result, Exception):
            return
        values = {"account_id": self._account_id, "message_id": message.ref.message_id, "error": type(result).__name__}
        if verdict.postponed is not None:
            log.info("message_not_described", attempt=verdict.postponed.message.attempts, **values)
        elif verdict.arrival is not None:
            log.warning("message_unreadable", **values)

    async def _record(self, arrivals: list[Arrival]) -> None:
        async with self._recording:
            lanes = await self._store.call(record_arrivals, self._account_id, arrivals)
        self._indexed_count += len(arrivals)
        log.info("messages_indexed", account_id=self._account_id, count=len(arrivals), lanes=len(lanes))
        if lanes:
            await self._deliveries.wake(lanes)

    async def _known(self, refs: Iterable[MessageRef], *, with_unreadable: bool) -> frozenset[str]:
        message_ids = [ref.message_id for ref in refs]
        return await self._store.call(known_message_ids, self._account_id, message_ids, with_unreadable=with_unreadable)

    async def _indexed_mailboxes(self) -> frozenset[str]:
        if self._indexed is None:
            self._indexed = await self._store.call(indexed_addresses, self._account_id)
        return self._indexed

    async def _end_baselines(self, addresses: frozenset[str]) -> None:
        """Of these mailboxes, and of all others where those that come later are new ones."""
        await self._store.call(register_mailboxes, self._account_id, addresses)
        await self._store.call(mark_indexed, self._account_id, None if self._rest_is_new else addresses)
        self._indexed = await self._store.call(indexed_addresses, self._account_id)


def _slices(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def are_caught_up(intakes: Sequence[Intake]) -> bool:
    """Whether what the sources had at the start is in the index, at one account at least.

    One whose source failed meanwhile is not waited for: it must not take the other accounts' gateway away.
    """
    return any(intake.is_caught_up for intake in intakes) and not any(intake.is_awaited for intake in intakes)
