"""Decides whether a fault happens to a call: by chance from a seed, so many times and no more."""

import hashlib

from satchel.testing.graph.faults import When

_SPAN = 1 << 64


class Dice:
    """Chances drawn from one seed. The order of calls decides who gets which draw, so runs repeat as far as it does."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._drawn = 0
        self._happened: dict[int, tuple[When, int]] = {}

    def falls(self, when: When, kind: str, mailbox: str | None = None) -> bool:
        """Whether the fault happens to this call; counts it if it does."""
        if when.chance == 0 or not when.concerns(kind, mailbox):
            return False
        # The value is kept beside its identity, so that this identity is not given to another one meanwhile.
        _, happened = self._happened.get(id(when), (when, 0))
        if when.times is not None and happened >= when.times:
            return False
        if when.chance < 1 and self.share() >= when.chance:
            return False
        if when.times is not None:
            self._happened[id(when)] = (when, happened + 1)
        return True

    def below(self, limit: int) -> int:
        """Any whole number from 0 up to but without the limit; 0 where there is none."""
        return int(self.share() * limit)

    def share(self) -> float:
        """Any number from 0 up to but without 1."""
        self._drawn += 1
        drawn = hashlib.sha256(b"%d %d" % (self._seed, self._drawn)).digest()
        return int.from_bytes(drawn[:8], "big") / _SPAN
