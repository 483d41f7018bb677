"""Runs lanes of deliveries as durable work: woken by what arrives, by the end of a pause, and by a look at the rows.

A workflow is one run of a lane, and its id has the run's number: asking twice for a run is asking once, and one that a
crash cut off is run again. What the rows say is the truth; whoever was not woken is found a second later.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from weakref import WeakValueDictionary

import sqlalchemy as sa
import structlog

from satchel.gateway.store.attempts import DeliveryPolicy, Ended, advance_all
from satchel.gateway.store.batches import Batches
from satchel.gateway.store.database import Store
from satchel.gateway.store.deliveries import Lane, due_lanes, find_waiting_lanes, runs_to_begin
from satchel.gateway.webhooks.courier import Courier
from satchel.gateway.webhooks.lane_run import GIVE_WAY_SECONDS, LaneRun, Places, Steps
from satchel.gateway.webhooks.lanes import LaneSchedule

WORKFLOW = "delivery-lane"
LOOK_SECONDS = 1.0

log = structlog.get_logger(__name__)


class WorkQueue(Protocol):
    """Where durable work is asked for."""

    def register(self, name: str, function: Callable[..., Awaitable[None]], *, concurrency: int) -> None: ...

    async def enqueue(
        self, name: str, workflow_id: str, *arguments: Any, delay_seconds: float | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most deliveries under way at once, and of them to one webhook."""

    in_all: int
    per_webhook: int


class Deliveries:
    """Sees to it that each lane in which something is due is worked on, by one run at a time."""

    def __init__(
        self, store: Store, queue: WorkQueue, courier: Courier, policy: DeliveryPolicy, bounds: Bounds
    ) -> None:
        """To be made before the queue is launched, since it names its workflow."""
        self._store = store
        self._queue = queue
        self._courier = courier
        self._steps: Steps = Batches(store, lambda engine, questions: advance_all(engine, policy, questions))
        self._places = Places(bounds.in_all, bounds.per_webhook)
        self._schedule = LaneSchedule(runs=bounds.in_all, runs_per_webhook=bounds.per_webhook)
        self._locks: WeakValueDictionary[Lane, asyncio.Lock] = WeakValueDictionary()
        self._bell = asyncio.Event()
        self._is_stopping = False
        queue.register(WORKFLOW, self.run_lane, concurrency=bounds.in_all)

    @property
    def active_lanes(self) -> int:
        """How many lanes are being worked on."""
        return self._schedule.active_count

    async def run(self) -> None:
        """Look at the rows again and again, until cancelled: first for all that an earlier process left."""
        due_by: datetime | None = None
        has_repaired = False
        while True:
            try:
                if not has_repaired:
                    await self._store.call(find_waiting_lanes, datetime.now(UTC))
                    has_repaired = True
                found = await self._store.call(due_lanes, due_by)
                await self._ask(self._schedule.find(found, time.monotonic()))
            except (sa.exc.SQLAlchemyError, OSError) as error:
                log.warning("deliveries_interrupted", error=type(error).__name__)
            await self._rest()
            await self._ask(self._schedule.tick(time.monotonic()))
            due_by = datetime.now(UTC)

    async def wake(self, lanes: Collection[Lane]) -> None:
        """Something waits in these lanes. Trouble is logged: the rows are looked at again soon."""
        await self._ask(self._schedule.wake(lanes, time.monotonic()))

    def stop(self) -> None:
        """Begin no more attempts; runs end with those that are under way."""
        self._is_stopping = True

    async def run_lane(self, webhook_id: str, mailbox_id: str, run: int) -> None:
        """The workflow: one run of a lane."""
        lane = Lane(webhook_id, mailbox_id)
        # An older run may be on its way out, cut off by a crash and run again: which is the lane's, the rows say.
        async with self._locks.setdefault(lane, asyncio.Lock()):
            await self._run_lane(lane, run)

    async def _run_lane(self, lane: Lane, run: int) -> None:
        self._schedule.begin(lane)
        ended = Ended()

        def gives_way(worked_seconds: float) -> bool:
            is_long = worked_seconds > GIVE_WAY_SECONDS
            return self._is_stopping or (is_long and self._schedule.is_awaited(lane))

        def note_pace(seconds: float) -> None:
            self._schedule.note_pace(lane.webhook_id, is_slow=seconds > GIVE_WAY_SECONDS)

        try:
            ended = await LaneRun(
                lane,
                run,
                steps=self._steps,
                courier=self._courier,
                places=self._places,
                gives_way=gives_way,
                on_attempt=note_pace,
            ).run()
        finally:
            await self._ask(self._ended(lane, ended))

    def _ended(self, lane: Lane, ended: Ended) -> Sequence[Lane]:
        rest_seconds = None if ended.look_at is None else (ended.look_at - datetime.now(UTC)).total_seconds()
        turns = self._schedule.end(lane, time.monotonic(), rest_seconds=rest_seconds)
        self._bell.set()
        return turns

    async def _ask(self, lanes: Sequence[Lane]) -> None:
        while lanes and not self._is_stopping:
            try:
                runs = await self._store.call(runs_to_begin, lanes)
                await asyncio.gather(*(self._ask_for(lane, run) for lane, run in runs.items()))
            except (sa.exc.SQLAlchemyError, OSError) as error:
                log.warning("deliveries_interrupted", error=type(error).__name__)
                self._schedule.drop(lanes, time.monotonic())
                return
            lanes = self._schedule.drop([lane for lane in lanes if lane not in runs], time.monotonic())

    async def _ask_for(self, lane: Lane, run: int) -> None:
        workflow_id = f"{lane.webhook_id}/{lane.mailbox_id}#{run}"
        await self._queue.enqueue(WORKFLOW, workflow_id, lane.webhook_id, lane.mailbox_id, run)

    async def _rest(self) -> None:
        """Until the next look at the rows, or until a lane has rested for long enough."""
        give_up = time.monotonic() + LOOK_SECONDS
        while (left := min(give_up, self._schedule.next_tick() or give_up) - time.monotonic()) > 0:
            self._bell.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._bell.wait()
