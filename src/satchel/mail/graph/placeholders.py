"""Recognises by their names what stands for files that are still scanned (Safe Attachments, Dynamic Delivery)."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from satchel.contract.attachments import Attachment

# The longest name that is looked at: patterns are the administrator's, names are the sender's.
_NAME_CHARACTERS = 300
_LONGEST_PAUSE_SECONDS = 60.0


class Placeholders:
    """Which names are placeholders (regular expressions, searched for), and how long a message waits for its files."""

    def __init__(self, patterns: Sequence[str], wait_seconds: float) -> None:
        self._patterns = [re.compile(pattern) for pattern in patterns]
        self._wait_seconds = wait_seconds

    def retry_after(
        self, listed: Iterable[Attachment], now: datetime, received: datetime | None = None
    ) -> float | None:
        """Seconds after which to look again; None where nothing is to be waited for (any more).

        The time runs from when a placeholder was put there, else from `received`; without both nobody waits, because
        it would be for ever.
        """
        left = [self._left(each.last_modified or received, now) for each in listed if self._is_one(each)]
        longest = max(left, default=0.0)
        return min(longest, _LONGEST_PAUSE_SECONDS) if longest > 0 else None

    def _is_one(self, attachment: Attachment) -> bool:
        return any(pattern.search(attachment.name[:_NAME_CHARACTERS]) for pattern in self._patterns)

    def _left(self, since: datetime | None, now: datetime) -> float:
        if since is None:
            return 0.0
        # A clock that is behind Graph's must not make the wait longer than it may be.
        return min(self._wait_seconds, self._wait_seconds - (now - since).total_seconds())
