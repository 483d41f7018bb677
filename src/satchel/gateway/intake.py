"""Takes in what arrives at the mail source: into the index, with a delivery to every webhook that wants to know."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import sqlalchemy as sa
import structlog

from satchel.gateway.store.database import Store
from satchel.gateway.store.deliveries import PendingDelivery, pending_deliveries
from satchel.gateway.store.mailboxes import indexed_addresses, mark_indexed, register_mailboxes
from satchel.gateway.store.messages import Arrival, known_message_ids, record_arrivals
from satchel.mail.source import Batch, MailSource, MessageNotFound, MessageRef, MessageSummary, SourceError

_SLICE = 200
_AT_ONCE = 16
# For what a defect of ours may be, and no trouble of the mail server: that one is waited out, however long it takes.
_MAX_DESCRIBE_ATTEMPTS = 20
_MAX_PENDING = 100_000
_SWEEP_LIMIT = 500

log = structlog.get_logger(__name__)


class DeliveryQueue(Protocol):
    """Where deliveries are asked for; asking twice is asking once."""

    async def enqueue(self, delivery: PendingDelivery) -> None: ...


class Intake:
    """Keeps an account's index and its mail source in step, and asks for deliveries.

    A delivery is durable with its index row before it is asked for, so a crash at any point loses none; its id comes
    from webhook and message, so none is made twice. What the source had before a mailbox was first indexed to the end
    is its baseline: it is never announced, and is in the index even where its envelope cannot be read just now.
    """

    def __init__(
        self, account_id: str, source: MailSource, store: Store, deliveries: DeliveryQueue, *, sweep_seconds: float
    ) -> None:
        self._account_id = account_id
        self._source = source
        self._store = store
        self._deliveries = deliveries
        self._sweep_seconds = sweep_seconds
        self._first_pass = True
        self._source_has_failed = False
        self._rest_is_new = False
        self._indexed: frozenset[str] | None = None
        self._undescribed: dict[str, tuple[MessageRef, int]] = {}
        self._indexed_count = 0
        # The watch and the sweep may come to one message at once: then the second finds it in the index.
        self._recording = asyncio.Lock()

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
        return len(self._undescribed)

    async def run(self) -> None:
        """Watch the source and sweep until cancelled; trouble with the source or the database is tried again."""
        await self._enqueue_pending(due_before=None, limit=_MAX_PENDING)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            tasks.create_task(self._sweep())

    async def take(self, batch: Batch) -> None:
        """Index what is new in a batch of the source and ask for its deliveries; all of it is durable afterwards."""
        for start in range(0, len(batch.messages), _SLICE):
            await self._take_slice({ref.message_id: ref for ref in batch.messages[start : start + _SLICE]})
        self._rest_is_new |= batch.rest_is_new
        if batch.read_to_end or batch.rest_is_new:
            await self._end_baselines(batch.read_to_end)
        if batch.ends_first_pass and self._first_pass:
            self._first_pass = False
            log.info("intake_caught_up", account_id=self._account_id)

    async def sweep(self) -> None:
        """Try again what was left over: messages that could not be described, deliveries that nobody works on."""
        if self._rest_is_new:
            await self._end_baselines(frozenset())
        await self._take_slice({message_id: ref for message_id, (ref, _) in list(self._undescribed.items())[:_SLICE]})
        overdue = datetime.now(UTC) - timedelta(seconds=self._sweep_seconds)
        await self._enqueue_pending(due_before=overdue, limit=_SWEEP_LIMIT)

    async def _end_baselines(self, addresses: frozenset[str]) -> None:
        """Of these mailboxes, and of all others where those that come later are new ones."""
        await self._store.call(register_mailboxes, self._account_id, addresses)
        await self._store.call(mark_indexed, self._account_id, None if self._rest_is_new else addresses)
        self._indexed = await self._store.call(indexed_addresses, self._account_id)

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

    async def _take_slice(self, refs: dict[str, MessageRef]) -> None:
        if not refs:
            return
        if self._indexed is None:
            self._indexed = await self._store.call(indexed_addresses, self._account_id)
        # What could not be read before is tried again once after every start.
        unheard_of = {ref.mailbox for ref in refs.values()} - self._indexed
        if unheard_of and self._rest_is_new:
            # Before its messages, so that a crash does not make a baseline of those that follow.
            await self._end_baselines(frozenset(unheard_of))
        known = await self._store.call(
            known_message_ids, self._account_id, list(refs), with_unreadable=not self._first_pass
        )
        arrivals: list[Arrival] = []
        new = [ref for message_id, ref in refs.items() if message_id not in known or message_id in self._undescribed]
        for start in range(0, len(new), _AT_ONCE):
            group = new[start : start + _AT_ONCE]
            described = await asyncio.gather(*map(self._source.describe, group), return_exceptions=True)
            for ref, result in zip(group, described, strict=True):
                is_baseline = ref.mailbox not in self._indexed
                arrival = self._judge(ref, result, is_baseline)
                if arrival is not None:
                    arrivals.append(arrival)
        if arrivals:
            await self._record(arrivals)

    def _judge(self, ref: MessageRef, result: MessageSummary | BaseException, is_baseline: bool) -> Arrival | None:
        """What to index of a message, given its description or why there is none; None: nothing, or not yet."""
        if isinstance(result, MessageSummary):
            return Arrival(ref, result, is_baseline)
        if not isinstance(result, Exception):
            raise result
        if isinstance(result, MessageNotFound):
            self._undescribed.pop(ref.message_id, None)
            return None
        # To the end of the line, so that each has its turn in the sweeps.
        _, attempts = self._undescribed.pop(ref.message_id, (ref, 0))
        is_final = not result.transient if isinstance(result, SourceError) else attempts + 1 >= _MAX_DESCRIBE_ATTEMPTS
        if is_final:
            log.warning(
                "message_unreadable",
                account_id=self._account_id,
                message_id=ref.message_id,
                error=type(result).__name__,
            )
            return Arrival(ref, None, is_baseline)
        log.info(
            "message_not_described",
            account_id=self._account_id,
            message_id=ref.message_id,
            error=type(result).__name__,
            attempt=attempts + 1,
        )
        self._undescribed[ref.message_id] = (ref, attempts + 1)
        # Its row is what keeps it from being announced when it is described at last, be it after a restart.
        return Arrival(ref, None, is_baseline) if is_baseline else None

    async def _record(self, arrivals: list[Arrival]) -> None:
        async with self._recording:
            delivery_ids = await self._store.call(record_arrivals, self._account_id, arrivals)
        for arrival in arrivals:
            if arrival.summary is not None:
                self._undescribed.pop(arrival.ref.message_id, None)
        self._indexed_count += len(arrivals)
        log.info("messages_indexed", account_id=self._account_id, count=len(arrivals), deliveries=len(delivery_ids))
        now = datetime.now(UTC)
        await asyncio.gather(*(self._deliveries.enqueue(PendingDelivery(id_, 1, now)) for id_ in delivery_ids))

    async def _enqueue_pending(self, *, due_before: datetime | None, limit: int) -> None:
        pending = await self._store.call(pending_deliveries, self._account_id, due_before=due_before, limit=limit)
        if pending:
            log.info("deliveries_taken_up", count=len(pending))
        for start in range(0, len(pending), _SLICE):
            await asyncio.gather(*map(self._deliveries.enqueue, pending[start : start + _SLICE]))


def are_caught_up(intakes: Sequence[Intake]) -> bool:
    """Whether what the sources had at the start is in the index, at one account at least.

    One whose source failed meanwhile is not waited for: it must not take the other accounts' gateway away.
    """
    return any(intake.is_caught_up for intake in intakes) and not any(intake.is_awaited for intake in intakes)
