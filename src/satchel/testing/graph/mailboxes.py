"""The simulated mailboxes: folders, messages and the log of what happened to them; message bytes are on disk."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from satchel.testing.graph.errors import GraphError, access_denied, item_not_found, malformed_id
from satchel.testing.graph.ids import Ids, looks_like_id
from satchel.testing.graph.stored import StoredMessage, utc
from satchel.testing.mail import SampleMessage

WELL_KNOWN = {
    "msgfolderroot": "Top of Information Store",
    "inbox": "Inbox",
    "archive": "Archive",
    "deleteditems": "Deleted Items",
    "drafts": "Drafts",
    "junkemail": "Junk Email",
    "sentitems": "Sent Items",
}


class ChangeType(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened in a folder. A move is a deletion in one and a creation in the other."""

    sequence: int
    type: ChangeType
    folder: str
    message: StoredMessage
    immutable_id: str
    mutable_id: str


@dataclass(frozen=True, slots=True)
class Folder:
    """`name` is the well-known name, in lower case, or the display name of another one."""

    id: str
    name: str
    display_name: str


@dataclass(eq=False)
class Mailbox:
    """One user's mail. `refused` mailboxes exist, but the app may not look into them."""

    address: str
    id: str
    refused: bool = False
    folders: dict[str, Folder] = field(default_factory=dict)
    messages: dict[str, StoredMessage] = field(default_factory=dict)
    by_mutable_id: dict[str, StoredMessage] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    epoch: int = 0

    def folder(self, reference: str) -> Folder:
        """By id or by well-known name. Raises GraphError."""
        for each in self.folders.values():
            if each.id == reference or each.name == reference.lower():
                return each
        raise item_not_found() if looks_like_id(reference) else malformed_id()

    def message(self, message_id: str) -> StoredMessage:
        """By either of its ids. Raises GraphError."""
        found = self.messages.get(message_id) or self.by_mutable_id.get(message_id)
        if found is None:
            raise item_not_found() if looks_like_id(message_id) else malformed_id()
        return found

    def in_folder(self, name: str | None) -> Iterator[StoredMessage]:
        """The messages of one folder (None: of all), the last that came in first."""
        found = [each for each in self.messages.values() if name is None or each.folder == name]
        return iter(sorted(found, key=lambda each: each.sequence, reverse=True))


class Mailboxes:
    """All mailboxes of the tenant. Files are kept in `folder`, which belongs to it; `now` gives seconds since 1970."""

    def __init__(self, folder: Path, ids: Ids, now: Callable[[], float]) -> None:
        self._folder = folder
        self._ids = ids
        self._now = now
        self._sequence = 0
        self._by_name: dict[str, Mailbox] = {}

    def add(self, address: str) -> Mailbox:
        """A mailbox with the well-known folders; the one that is there where there is one of this address."""
        key = address.lower()
        if key not in self._by_name:
            mailbox = Mailbox(key, self._ids.guid("user", key))
            mailbox.folders = {name: Folder(self._ids.folder(key, name), name, WELL_KNOWN[name]) for name in WELL_KNOWN}
            self._by_name[key] = self._by_name[mailbox.id] = mailbox
        return self._by_name[key]

    def all(self) -> list[Mailbox]:
        return [mailbox for name, mailbox in self._by_name.items() if name == mailbox.address]

    def find(self, name: str) -> Mailbox | None:
        """By address or user id, in whichever case."""
        return self._by_name.get(name.lower())

    def get(self, name: str) -> Mailbox:
        """One that is there, whoever may look into it. Raises GraphError."""
        mailbox = self.find(name)
        if mailbox is None:
            raise GraphError(404, "ErrorInvalidUser", f"The requested user '{name}' is invalid.")
        return mailbox

    def readable(self, name: str) -> Mailbox:
        """One that the app may look into. Raises GraphError."""
        mailbox = self.get(name)
        if mailbox.refused:
            raise access_denied()
        return mailbox

    def create_folder(self, mailbox: Mailbox, name: str) -> Folder:
        folder = Folder(self._ids.folder(mailbox.address, name), name.lower(), name)
        return mailbox.folders.setdefault(name.lower(), folder)

    def deliver(
        self, mailbox: Mailbox, mail: bytes | SampleMessage | Path, received: datetime | None, folder: str
    ) -> Change:
        """Write the message to disk and put it into the folder."""
        at = mailbox.folder(folder)
        path = self._folder / f"{self._ids.guid(mailbox.address, self._sequence)}.eml"
        _write(path, mail)
        now = self._now()
        message = StoredMessage(
            path=path,
            immutable_id=self._ids.immutable(mailbox.id),
            mutable_id=self._ids.mutable(mailbox.id),
            folder=at.name,
            received=received or utc(now),
            arrived_at=now,
            modified=utc(now),
            salt=self._ids.salt(),
        )
        return self._file(mailbox, message)

    def move(self, mailbox: Mailbox, message: StoredMessage, folder: str, *, reissue: bool = False) -> list[Change]:
        """Into another folder; with `reissue` the immutable id changes too, as it does in an archive mailbox."""
        to = mailbox.folder(folder)
        left = self._remove(mailbox, message)
        message.folder = to.name
        message.mutable_id = self._ids.mutable(mailbox.id)
        if reissue:
            message.immutable_id = self._ids.immutable(mailbox.id)
        return [left, self._file(mailbox, message)]

    def delete(self, mailbox: Mailbox, message: StoredMessage) -> Change:
        change = self._remove(mailbox, message)
        message.path.unlink(missing_ok=True)
        return change

    def renew_attachment_ids(self, message: StoredMessage) -> None:
        """Those that were given out so far are no more."""
        message.salt = self._ids.salt()

    def burn(self, mailbox: Mailbox) -> None:
        """Every id and every delta token of the mailbox is no more, as after a migration; the mail is still there."""
        messages = list(reversed(list(mailbox.in_folder(None))))
        mailbox.epoch += 1
        mailbox.messages.clear()
        mailbox.by_mutable_id.clear()
        mailbox.changes.clear()
        for message in messages:
            message.immutable_id, message.mutable_id = self._ids.immutable(mailbox.id), self._ids.mutable(mailbox.id)
            message.salt = self._ids.salt()
            self._file(mailbox, message)

    def _file(self, mailbox: Mailbox, message: StoredMessage) -> Change:
        mailbox.messages[message.immutable_id] = message
        mailbox.by_mutable_id[message.mutable_id] = message
        change = self._log(mailbox, ChangeType.CREATED, message)
        message.sequence = change.sequence
        return change

    def _remove(self, mailbox: Mailbox, message: StoredMessage) -> Change:
        del mailbox.messages[message.immutable_id]
        del mailbox.by_mutable_id[message.mutable_id]
        return self._log(mailbox, ChangeType.DELETED, message)

    def _log(self, mailbox: Mailbox, kind: ChangeType, message: StoredMessage) -> Change:
        self._sequence += 1
        change = Change(self._sequence, kind, message.folder, message, message.immutable_id, message.mutable_id)
        mailbox.changes.append(change)
        return change


def _write(path: Path, mail: bytes | SampleMessage | Path) -> None:
    if isinstance(mail, Path):
        shutil.copyfile(mail, path)
        return
    with path.open("xb") as target:
        if isinstance(mail, bytes):
            target.write(mail)
        else:
            mail.write(target)
