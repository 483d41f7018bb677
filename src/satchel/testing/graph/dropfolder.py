"""Delivers the messages that lie in a folder, and those that are put there later."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from satchel.testing.graph.tenant import Tenant

LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file as it looked: one that looks the same twice is complete."""

    size: int
    modified_ns: int


class DropFolder:
    """A folder with a folder for each mailbox, which has its address for a name.

    In it are `.eml` files, or it is a Maildir. `.eml` files beside those folders go to `mailbox`. Every file is
    delivered once, as soon as it no longer grows; to take one away deletes nothing.
    """

    def __init__(self, tenant: Tenant, folder: Path, mailbox: str) -> None:
        self._tenant = tenant
        self._folder = folder
        self._mailbox = mailbox
        self._growing: dict[tuple[int, int], _Seen] = {}
        self._delivered: set[tuple[int, int]] = set()

    def look(self, *, at_once: bool = False) -> int:
        """Deliver what has come; with `at_once` also what may still grow. Returns how many messages these were.

        Raises OSError where the folder or a file cannot be read.
        """
        count = 0
        for mailbox in self._mailboxes():
            self._tenant.world.mailboxes.add(mailbox)
        for mailbox, path in sorted(self._files()):
            count += self._deliver(mailbox, path, at_once)
        return count

    async def watch(self) -> None:
        """Look again and again, until cancelled. What cannot be read just now is looked at again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self.look)

    def _mailboxes(self) -> list[str]:
        return [self._mailbox, *(each.name for each in self._folder.iterdir() if each.is_dir() and "@" in each.name)]

    def _files(self) -> Iterator[tuple[str, Path]]:
        for path in self._folder.glob("*.eml"):
            yield self._mailbox, path
        for mailbox in self._mailboxes()[1:]:
            for path in (self._folder / mailbox).glob("*.eml"):
                yield mailbox, path
            for part in ("new", "cur"):
                for path in (self._folder / mailbox / part).glob("*"):
                    yield mailbox, path

    def _deliver(self, mailbox: str, path: Path, at_once: bool) -> bool:
        try:
            status = path.stat()
            # A file that is renamed, as in a Maildir, is the same message.
            key, seen = (status.st_dev, status.st_ino), _Seen(status.st_size, status.st_mtime_ns)
            if key in self._delivered:
                return False
            if not at_once and self._growing.get(key) != seen:
                self._growing[key] = seen
                return False
            self._tenant.deliver(mailbox, path)
        except FileNotFoundError:
            return False
        self._growing.pop(key, None)
        self._delivered.add(key)
        return True
