"""The record of what the simulator was asked, and the most that was under way at once."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

KEPT = 100_000


@dataclass(slots=True, eq=False)
class Call:
    """One call. `kind` names it for faults, `route` is its path's template, `fault` what went wrong by intention.

    `started` and `ended` are in seconds of a steady clock; `ended` and `status` are None while it is under way.
    """

    method: str
    kind: str
    route: str
    path: str
    query: str
    mailbox: str | None
    prefer: str
    started: float
    status: int | None = None
    ended: float | None = None
    fault: str | None = None
    sent_bytes: int = 0


@dataclass(slots=True)
class Peaks:
    """The most calls that were under way at once, by mailbox and for the app; and how many had to be refused.

    `refused_concurrent` and `refused_rate` count 429s because a client broke an announced limit: a good one has none.
    `throttled` counts 429s that a fault gave.
    """

    app: int = 0
    mailboxes: dict[str, int] = field(default_factory=dict)
    refused_concurrent: int = 0
    refused_rate: int = 0
    throttled: int = 0
    most_in_window: dict[str, int] = field(default_factory=dict)


class Calls:
    """Keeps the calls since the start or since `clear`: the last `KEPT` at least, so that it can run for days."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self.list: list[Call] = []
        self.peaks = Peaks()
        self._under_way: Counter[str] = Counter()
        self._of_app = 0

    def begin(self, call: Call) -> None:
        if len(self.list) >= 2 * KEPT:
            del self.list[:KEPT]
        self.list.append(call)
        self._of_app += 1
        self.peaks.app = max(self.peaks.app, self._of_app)
        if call.mailbox is not None:
            self._under_way[call.mailbox.lower()] += 1
            most = max(self.peaks.mailboxes.get(call.mailbox.lower(), 0), self._under_way[call.mailbox.lower()])
            self.peaks.mailboxes[call.mailbox.lower()] = most

    def end(self, call: Call, status: int) -> None:
        call.ended, call.status = self._steady(), status
        self._of_app -= 1
        if call.mailbox is not None:
            self._under_way[call.mailbox.lower()] -= 1

    def under_way(self, mailbox: str) -> int:
        """How many calls to the mailbox there are now, the one that asks among them."""
        return self._under_way[mailbox.lower()]

    def clear(self) -> None:
        """Forget what has ended; what is under way goes on being counted."""
        self.list = [call for call in self.list if call.ended is None]
        self.peaks = Peaks()
