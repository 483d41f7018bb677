"""Which lanes this process works on, which wait for their turn, and which rest. Decides, and does nothing.

What is here may be lost at any moment: the rows are the truth, and are looked at again and again.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

from satchel.gateway.store.deliveries import Lane

# A run that was asked for and has not begun by then may have been taken by another process, or lost: it is asked for
# again, which is harmless.
FORGET_ASKED_SECONDS = 30.0


class LaneSchedule:
    """The lanes of one process. Times are seconds of any clock that does not go backwards."""

    def __init__(self, *, runs: int, runs_per_webhook: int) -> None:
        """The most runs under way at once, and of them to one webhook; further ones wait for their turn."""
        self._runs = runs
        self._runs_per_webhook = runs_per_webhook
        self._asked: dict[Lane, float] = {}
        # By webhook, the lanes that are asked for or under way.
        self._places: defaultdict[str, set[Lane]] = defaultdict(set)
        # Whether there is something new since it began.
        self._running: dict[Lane, bool] = {}
        self._waiting: dict[str, dict[Lane, None]] = {}
        self._resting: dict[Lane, float] = {}

    @property
    def active_count(self) -> int:
        """How many lanes are being worked on."""
        return len(self._running)

    def wake(self, lanes: Collection[Lane], now: float) -> Sequence[Lane]:
        """Something waits in these lanes; those of them for which a run is to be asked now.

        Asking twice while one waits is asking once; one that is under way is to look again when it ends.
        """
        return [lane for lane in lanes if self._wake(lane, now)]

    def find(self, lanes: Collection[Lane], now: float) -> Sequence[Lane]:
        """As `wake`, of lanes whose rows say that something waits: of those under way that is known."""
        return self.wake([lane for lane in lanes if lane not in self._running], now)

    def begin(self, lane: Lane) -> None:
        """A run begins, asked for by this process or not."""
        self._asked.pop(lane, None)
        self._resting.pop(lane, None)
        self._running[lane] = False
        self._places[lane.webhook_id].add(lane)

    def end(self, lane: Lane, now: float, *, rest_seconds: float | None = None) -> Sequence[Lane]:
        """A run has ended; whose turn it is now. Where something new has come, its lane has its next turn behind the
        others; else it rests so long."""
        is_again = self._running.pop(lane, False)
        self._places[lane.webhook_id].discard(lane)
        self._resting.pop(lane, None)
        if rest_seconds is not None and not is_again:
            self._resting[lane] = now + rest_seconds
        if is_again:
            self._waiting.setdefault(lane.webhook_id, {})[lane] = None
        return self._next_turns(lane.webhook_id, now)

    def drop(self, lanes: Collection[Lane], now: float) -> Sequence[Lane]:
        """No run was asked for after all; whose turn it is instead."""
        for lane in lanes:
            if self._asked.pop(lane, None) is not None:
                self._places[lane.webhook_id].discard(lane)
        return [
            turn for webhook_id in {lane.webhook_id for lane in lanes} for turn in self._next_turns(webhook_id, now)
        ]

    def tick(self, now: float) -> Sequence[Lane]:
        """The lanes that have rested for long enough, or whose runs were asked for long ago and never began."""
        lost = [lane for lane, asked_at in self._asked.items() if now - asked_at >= FORGET_ASKED_SECONDS]
        turns = self.drop(lost, now)
        rested = [lane for lane, until in self._resting.items() if until <= now]
        for lane in rested:
            del self._resting[lane]
        return [*turns, *self.wake([*lost, *rested], now)]

    def next_tick(self) -> float | None:
        """When the next lane has rested for long enough, if one rests."""
        return min(self._resting.values(), default=None)

    def is_awaited(self, lane: Lane) -> bool:
        """Whether others wait for the place that a run of this lane has."""
        return bool(self._waiting.get(lane.webhook_id)) or len(self._asked) + len(self._running) > self._runs

    def _wake(self, lane: Lane, now: float) -> bool:
        if lane in self._running:
            self._running[lane] = True
            return False
        if lane in self._asked or lane in self._waiting.get(lane.webhook_id, {}):
            return False
        self._resting.pop(lane, None)
        self._waiting.setdefault(lane.webhook_id, {})[lane] = None
        return bool(self._next_turns(lane.webhook_id, now))

    def _next_turns(self, webhook_id: str, now: float) -> list[Lane]:
        waiting = self._waiting.get(webhook_id, {})
        turns = []
        places = self._places[webhook_id]
        while waiting and len(places) < self._runs_per_webhook:
            lane = next(iter(waiting))
            del waiting[lane]
            self._asked[lane] = now
            places.add(lane)
            turns.append(lane)
        for by_webhook in (self._waiting, self._places):
            if not by_webhook.get(webhook_id):
                by_webhook.pop(webhook_id, None)
        return turns
