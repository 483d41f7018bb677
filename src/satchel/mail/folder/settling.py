"""Decides when a file that somebody may still be writing to is complete: once its size and time have rested."""

from satchel.mail.folder.ids import Place
from satchel.mail.folder.layouts import Sighting


class Settling:
    """Messages that wait to be complete. Time is passed in, in seconds of any steady clock."""

    def __init__(self, settle_seconds: float) -> None:
        self._settle_seconds = settle_seconds
        self._waiting: dict[tuple[bytes, bytes], tuple[Sighting, float]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def observe(self, sighting: Sighting, now: float) -> None:
        """Take note of a message as it looks now; one that looks as before goes on resting."""
        known = self._waiting.get(_key(sighting.place))
        if known is None or not rests(known[0], sighting):
            self._waiting[_key(sighting.place)] = (sighting, now)

    def drop(self, place: Place) -> None:
        self._waiting.pop(_key(place), None)

    def due(self, now: float) -> list[Sighting]:
        """Those that should be complete by now, as they looked; they stay until they are dropped."""
        return [sighting for sighting, since in self._waiting.values() if now - since >= self._settle_seconds]

    def next_due(self) -> float | None:
        """When to ask again; None when nothing waits."""
        if not self._waiting:
            return None
        return min(since for _, since in self._waiting.values()) + self._settle_seconds


def rests(before: Sighting, after: Sighting) -> bool:
    return (before.size, before.mtime_ns) == (after.size, after.mtime_ns)


def _key(place: Place) -> tuple[bytes, bytes]:
    return (place.entry, place.key)
