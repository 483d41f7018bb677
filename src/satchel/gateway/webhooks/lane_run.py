"""One run of a lane: its deliveries in their order, so many at a time as the webhook takes, until nothing is due."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import sqlalchemy as sa
import structlog

from satchel.gateway.store.attempts import Answer, BegunAttempt, Ended, Finished, Question, TextWanted
from satchel.gateway.store.batches import Batches
from satchel.gateway.store.deliveries import Lane
from satchel.gateway.webhooks.courier import Courier

# A run that others wait for gives its place to them after so long.
GIVE_WAY_SECONDS = 5.0
_TROUBLE_PAUSE_SECONDS = 1.0
_LOOK_SECONDS = 1.0

Steps = Batches[Question, Answer | Exception]

log = structlog.get_logger(__name__)


class Places:
    """Room for deliveries under way: so many in all, and so many of them to one webhook."""

    def __init__(self, in_all: int, per_webhook: int) -> None:
        self._all = asyncio.Semaphore(in_all)
        self._by_webhook: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(per_webhook))

    async def take(self, webhook_id: str) -> None:
        """Take a place, once there is one."""
        of_webhook = self._by_webhook[webhook_id]
        await of_webhook.acquire()
        try:
            await self._all.acquire()
        except BaseException:
            of_webhook.release()
            raise

    async def take_at_once(self, webhook_id: str) -> bool:
        """Take one if there is one and nobody waits for it."""
        is_free = not self._by_webhook[webhook_id].locked() and not self._all.locked()
        if is_free:
            await self.take(webhook_id)
        return is_free

    def leave(self, webhook_id: str, count: int = 1) -> None:
        for _ in range(count):
            self._all.release()
            self._by_webhook[webhook_id].release()


class LaneRun:
    """A run by its number. It is no longer the lane's once another has begun, and then does nothing more."""

    def __init__(
        self,
        lane: Lane,
        number: int,
        *,
        steps: Steps,
        courier: Courier,
        places: Places,
        gives_way: Callable[[float], bool],
        on_attempt: Callable[[float], None],
    ) -> None:
        """`gives_way` says whether the run, which has delivered for so many seconds, is to begin nothing more;
        `on_attempt` is told how many seconds each attempt took."""
        self._lane = lane
        self._number = number
        self._steps = steps
        self._courier = courier
        self._places = places
        self._gives_way = gives_way
        self._on_attempt = on_attempt
        self._under_way: dict[asyncio.Task[Finished | None], str] = {}
        self._width = 1
        self._held = 0

    async def run(self) -> Ended:
        """Deliver until nothing is due, and say when something will be. Cut off, it can be run again."""
        try:
            await self._places.take(self._lane.webhook_id)
            self._held = 1
            return await self._deliver()
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            self._places.leave(self._lane.webhook_id, self._held)

    async def _deliver(self) -> Ended:
        finished: Sequence[Finished] = ()
        # Before its first delivery has ended it has had nothing of its place.
        began, worked_seconds = time.monotonic(), 0.0
        while True:
            has_room = await self._make_room()
            step = await self._ask(finished, gives_way=not has_room or self._gives_way(worked_seconds))
            if isinstance(step, Ended):
                return step
            if step is not None:
                self._width = step.max_in_flight
                task = asyncio.create_task(self._attempt(step))
                self._under_way[task] = step.delivery_id
                if len(self._under_way) < self._width:
                    finished = ()
                    continue
            finished = await self._wait()
            worked_seconds = time.monotonic() - began

    async def _attempt(self, step: BegunAttempt | TextWanted) -> Finished | None:
        began = time.monotonic()
        finished = await self._courier.attempt(self._lane, self._number, step)
        self._on_attempt(time.monotonic() - began)
        return finished

    async def _make_room(self) -> bool:
        """Have a place for each that is under way and one more, where there is one, and none beyond that."""
        wanted = len(self._under_way) + 1
        self._keep_places(wanted)
        if self._held < wanted and await self._places.take_at_once(self._lane.webhook_id):
            self._held += 1
        return self._held == wanted

    def _keep_places(self, most: int) -> None:
        if self._held > most:
            self._places.leave(self._lane.webhook_id, self._held - most)
            self._held = most

    async def _wait(self) -> Sequence[Finished]:
        """What has ended. With room for more it is none after a while: something may have come that can begin."""
        self._keep_places(len(self._under_way))
        has_room = len(self._under_way) < self._width
        done, _ = await asyncio.wait(
            self._under_way, timeout=_LOOK_SECONDS if has_room else None, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            del self._under_way[task]
        return [result for task in done if (result := task.result()) is not None]

    async def _ask(self, finished: Sequence[Finished], *, gives_way: bool) -> BegunAttempt | TextWanted | Ended | None:
        """Trouble of the database is waited out, because what has ended would be forgotten."""
        busy = frozenset(self._under_way.values())
        question = Question(self._lane, self._number, finished, busy, gives_way)
        while True:
            try:
                answer = await self._steps.ask(question)
            except (sa.exc.SQLAlchemyError, OSError) as error:
                answer = error
            if not isinstance(answer, Exception):
                break
            if not isinstance(answer, sa.exc.SQLAlchemyError | OSError):
                raise answer
            log.warning("deliveries_interrupted", webhook_id=self._lane.webhook_id, error=type(answer).__name__)
            await asyncio.sleep(_TROUBLE_PAUSE_SECONDS)
        if answer.has_paused:
            log.warning("webhook_paused", webhook_id=self._lane.webhook_id)
        return answer.step
