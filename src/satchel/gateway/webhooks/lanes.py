"""Which lanes this process works on, which wait for their turn, and which rest. Decides, and does nothing.

What is here may be lost at any moment: the rows are the truth, and are looked at again and again.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

from satchel.gateway.store.deliveries import Lane

# A run that was asked for and has not begun by then may have been taken by another process, or lost: it is asked for
# again, which is harmless.
FORGET_ASKED_SECONDS = 30.0
# Of the runs, those that slow webhooks may have together.
_SLOW_SHARE = 0.75


class LaneSchedule:
    """The lanes of one process. Times are seconds of any clock that does not go backwards."""

    def __init__(self, *, runs: int, runs_per_webhook: int) -> None:
        """The most runs under way at once, and of them to one webhook; further ones wait for their turn."""
        self._runs = runs
        self._runs_per_webhook = runs_per_webhook
        self._slow_runs = max(1, int(runs * _SLOW_SHARE))
        self._slow: set[str] = set()
        self._asked: dict[Lane, float] = {}
        # By webhook, the lanes that are asked for or under way.
        self._places: defaultdict[str, set[Lane]] = defaultdict(set)
        # Whether there is something new since it began.
        self._running: dict[Lane, bool] = {}
        # By webhook; the one that had a turn last comes last.
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
        for lane in lanes:
            self._wake(lane)
        return self._next_turns(now)

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
            self._wait(lane)
        return self._next_turns(now)

    def drop(self, lanes: Collection[Lane], now: float) -> Sequence[Lane]:
        """No run was asked for after all; whose turn it is instead."""
        for lane in lanes:
            if self._asked.pop(lane, None) is not None:
                self._places[lane.webhook_id].discard(lane)
        return self._next_turns(now)

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

    def note_pace(self, webhook_id: str, *, is_slow: bool) -> None:
        """How its last attempt went. Webhooks that are slow share a part of the runs, so that those that hang, however
        many, do not have all of them."""
        if is_slow:
            self._slow.add(webhook_id)
        else:
            self._slow.discard(webhook_id)

    def is_awaited(self, lane: Lane) -> bool:
        """Whether others wait for the place that a run of this lane has, or it is one too many for slow webhooks."""
        if self._waiting.get(lane.webhook_id) or len(self._asked) + len(self._running) > self._runs:
            return True
        if lane.webhook_id not in self._slow:
            return False
        return self._slow_places() > self._slow_runs or not self._slow.isdisjoint(self._waiting)

    def _wake(self, lane: Lane) -> None:
        if lane in self._running:
            self._running[lane] = True
        elif lane not in self._asked:
            self._resting.pop(lane, None)
            self._wait(lane)

    def _wait(self, lane: Lane) -> None:
        self._waiting.setdefault(lane.webhook_id, {})[lane] = None

    def _next_turns(self, now: float) -> list[Lane]:
        turns: list[Lane] = []
        for webhook_id, waiting in list(self._waiting.items()):
            had_turns = len(turns)
            while waiting and self._has_room(webhook_id):
                lane = next(iter(waiting))
                del waiting[lane]
                self._asked[lane] = now
                self._places[webhook_id].add(lane)
                turns.append(lane)
            if len(turns) > had_turns:
                del self._waiting[webhook_id]
                if waiting:
                    self._waiting[webhook_id] = waiting
        return turns

    def _has_room(self, webhook_id: str) -> bool:
        if len(self._places[webhook_id]) >= self._runs_per_webhook:
            return False
        return webhook_id not in self._slow or self._slow_places() < self._slow_runs

    def _slow_places(self) -> int:
        return sum(len(self._places[webhook_id]) for webhook_id in self._slow)
