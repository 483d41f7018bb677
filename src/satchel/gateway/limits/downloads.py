"""How many downloads and archives may run at once, of one key and in all (beyond it: 503, contract section 3)."""

from collections import Counter

from satchel.contract.errors import Reason, UpstreamTrouble

# Nobody knows when a download ends; long enough that waiting clients are no load of their own.
_RETRY_AFTER_SECONDS = 5.0


class DownloadSlot:
    """One running download's place. Closing it twice is closing it once."""

    def __init__(self, downloads: "Downloads", key_id: str) -> None:
        self._downloads: Downloads | None = downloads
        self._key_id = key_id

    def close(self) -> None:
        """Give the place back."""
        downloads, self._downloads = self._downloads, None
        if downloads is not None:
            downloads.leave(self._key_id)


class Downloads:
    """Hands out places for downloads; each must be closed when its answer has ended, however it ended."""

    def __init__(self, *, per_key: int, in_all: int) -> None:
        self._per_key = per_key
        self._in_all = in_all
        self._of_key = Counter[str]()

    @property
    def in_use(self) -> int:
        """How many places are taken."""
        return self._of_key.total()

    def enter(self, key_id: str) -> DownloadSlot:
        """A place for one more download of a key. Raises UpstreamTrouble 503 when there is none."""
        if self._of_key[key_id] >= self._per_key or self.in_use >= self._in_all:
            raise UpstreamTrouble(
                "Too many downloads or archives are running. Try again when some have ended.",
                status=503,
                reason=Reason.TOO_MANY_DOWNLOADS,
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        self._of_key[key_id] += 1
        return DownloadSlot(self, key_id)

    def leave(self, key_id: str) -> None:
        """For slots only."""
        self._of_key[key_id] -= 1
        if not self._of_key[key_id]:
            del self._of_key[key_id]
