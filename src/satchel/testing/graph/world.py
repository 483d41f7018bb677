"""Everything that the simulator's calls work on, put together once."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from satchel.testing.graph.calls import Calls
from satchel.testing.graph.dice import Dice
from satchel.testing.graph.faults import Faults
from satchel.testing.graph.limits import Throttle
from satchel.testing.graph.mailboxes import Mailboxes
from satchel.testing.graph.notifications import Notifier
from satchel.testing.graph.tokens import Tokens

_T = TypeVar("_T")


@dataclass(eq=False)
class World:
    """The parts. `now` gives seconds since 1970, `steady` those of a clock that does not jump."""

    mailboxes: Mailboxes
    tokens: Tokens
    calls: Calls
    throttle: Throttle
    dice: Dice
    notifier: Notifier
    threads: ThreadPoolExecutor
    now: Callable[[], float]
    steady: Callable[[], float]
    faults: Faults
    base_url: str = ""
    opened: dict[str, int] = field(default_factory=dict)

    async def in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)
