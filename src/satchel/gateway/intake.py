"""Takes in what arrives at the mail source: into the index, with a delivery to every webhook that wants to know."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import sqlalchemy as sa
import structlog

from satchel.gateway.descriptions import Descriptions
from satchel.gateway.pending_work import PendingWork
from satchel.gateway.store.database import Store
from satchel.gateway.store.deliveries import Lane
from satchel.gateway.store.mailboxes import indexed_addresses, mark_indexed, register_mailboxes
from satchel.gateway.store.messages import Arrival, known_message_ids, record_arrivals
from satchel.gateway.store.pending import PendingMessage, Postponed, count_pending, drop_pending, postpone, see_again
from satchel.gateway.store.rules import rules_in_force
from satchel.gateway.verdicts import Verdict
from satchel.mail.source import Batch, MailSource, MessageRef, SourceError

_SLICE = 200

log = structlog.get_logger(__name__)


class DeliveryQueue(Protocol):
    """Where deliveries are asked for; asking twice is asking once."""

    async def wake(self, lanes: Collection[Lane]) -> None:
        """Something new waits in these lanes. What nobody was woken for is found a little later."""
        ...


class Intake:
    """Keeps an account's index and its mail source in step, and asks for deliveries.

    A delivery is durable with its index row before it is asked for, so a crash at any point loses none; its id comes
    from webhook and message, so none is made twice. What the rules say is decided before anything is written, by those
    that are in force when a slice of arrivals is begun. What cannot be described yet, or decided, is written down as
    pending. What the source had before a mailbox was first indexed to the end is its baseline: it is never announced,
    and is in the index even where its envelope cannot be read just now.
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
        self._now = now
        self._descriptions = Descriptions(account_id, source, patience_seconds=arrival_patience_seconds, now=now)
        self._pending = PendingWork(account_id, store, self._describe_pending, now=now)
        self._first_pass = True
        self._source_has_failed = False
        self._rest_is_new = False
        self._indexed: frozenset[str] | None = None
        self._indexed_count = 0
        self._undescribed_count = 0
        # The watch and what is pending may come to one message at once: then the second finds it in the index.
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
        return self._undescribed_count

    async def run(self) -> None:
        """Watch the source and sweep until cancelled; trouble with the source or the database is tried again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            tasks.create_task(self._sweep())
            tasks.create_task(self._pending.run())

    def wake(self) -> None:
        """Something was written down as pending: look at once."""
        self._pending.wake()

    async def take(self, batch: Batch) -> None:
        """Index what is new in a batch of the source and ask for its deliveries; all of it is durable afterwards."""
        for start in range(0, len(batch.messages), _SLICE):
            part = batch.messages[start : start + _SLICE]
            await self._take_slice({ref.message_id: ref for ref in part}, is_baseline=batch.is_baseline)
        self._rest_is_new |= batch.rest_is_new
        if batch.read_to_end or batch.rest_is_new:
            await self._end_baselines(batch.read_to_end)
        if batch.ends_first_pass and self._first_pass:
            self._first_pass = False
            log.info("intake_caught_up", account_id=self._account_id)

    async def take_up_pending(self) -> None:
        """Try again the messages whose time has come."""
        await self._pending.take_up()

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

    async def _describe_pending(self, messages: Sequence[PendingMessage]) -> None:
        known = await self._known([message.ref for message in messages], with_unreadable=False)
        await self._describe([message for message in messages if message.ref.message_id not in known], messages)

    async def _describe(
        self, messages: Sequence[PendingMessage], pending: Sequence[PendingMessage] = (), *, is_baseline: bool = False
    ) -> None:
        """Describe messages and write down what became of each; `pending` are those that were pending so far.

        The baseline is also what is in a mailbox that is not indexed to the end. What is in the index already, without
        its envelope, is as old: it is never announced, so no rule need be asked.
        """
        indexed = frozenset[str]() if is_baseline else await self._indexed_mailboxes()
        new = {message.ref.mailbox for message in messages} & indexed
        rules = await self._store.call(rules_in_force, self._account_id, new) if new else {}
        refs = [message.ref for message in messages]
        known = await self._known(refs, with_unreadable=True) if rules else frozenset[str]()
        verdicts = await self._descriptions.verdicts(
            messages,
            rules,
            is_old=lambda message: message.ref.mailbox not in indexed or message.ref.message_id in known,
        )
        await self._write_down(verdicts, pending)

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


def are_caught_up(intakes: Sequence[Intake]) -> bool:
    """Whether what the sources had at the start is in the index, at one account at least.

    One whose source failed meanwhile is not waited for: it must not take the other accounts' gateway away.
    """
    return any(intake.is_caught_up for intake in intakes) and not any(intake.is_awaited for intake in intakes)
