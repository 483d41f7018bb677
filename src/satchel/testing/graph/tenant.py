"""What one can see of the simulated tenant, and do to it while it runs."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from satchel.testing.graph.calls import Call, Peaks
from satchel.testing.graph.faults import Faults
from satchel.testing.graph.limits import Limits
from satchel.testing.graph.mailboxes import Change, Mailbox
from satchel.testing.graph.subscriptions import Subscription
from satchel.testing.graph.world import World
from satchel.testing.mail import SampleMessage

ARCHIVE = "archive"


class Tenant:
    """Mailboxes and their mail, the app and its tokens, subscriptions, faults; over one world."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def base_url(self) -> str:
        """Where it is, without /v1.0; also the authority for tokens."""
        return self.world.base_url

    @property
    def tenant_id(self) -> str:
        return self.world.tokens.app.tenant_id

    @property
    def client_id(self) -> str:
        return self.world.tokens.app.client_id

    @property
    def client_secret(self) -> str:
        return self.world.tokens.app.client_secret

    @property
    def federated_token(self) -> str:
        """What a workload identity may show instead of a secret."""
        return self.world.tokens.app.federated_token

    @property
    def faults(self) -> Faults:
        return self.world.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.world.faults = faults

    @property
    def roles(self) -> tuple[str, ...]:
        """The app's permissions by consent: Mail.Read, unless others are set; moving mail needs Mail.ReadWrite."""
        return self.world.tokens.roles

    @roles.setter
    def roles(self, roles: Sequence[str]) -> None:
        self.world.tokens.roles = tuple(roles)

    @property
    def exchange_roles(self) -> tuple[str, ...]:
        """Those that RBAC for Applications gives beside them, which tokens do not name: none, unless set."""
        return self.world.tokens.exchange_roles

    @exchange_roles.setter
    def exchange_roles(self, roles: Sequence[str]) -> None:
        self.world.tokens.exchange_roles = tuple(roles)

    @property
    def limits(self) -> Limits:
        """The announced limits, as they are enforced."""
        return self.world.throttle.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self.world.throttle.limits = limits

    @property
    def calls(self) -> list[Call]:
        """Every call below /v1.0, in the order in which they began."""
        return self.world.calls.list

    @property
    def peaks(self) -> Peaks:
        """The most that was under way at once, and the 429s that were given."""
        return self.world.calls.peaks

    @property
    def subscriptions(self) -> list[Subscription]:
        """Those that live."""
        return self.world.notifier.subscriptions.all()

    def add_mailbox(self, address: str, *, refused: bool = False) -> None:
        """A mailbox that the app may read, or one that exists but is refused to it; also one that is there already."""
        self.world.mailboxes.add(address).refused = refused

    def add_folder(self, mailbox: str, name: str) -> str:
        """One more folder, beside the well-known ones. Returns its id."""
        return self.world.mailboxes.create_folder(self.world.mailboxes.add(mailbox), name).id

    def deliver(
        self,
        mailbox: str,
        mail: bytes | SampleMessage | Path,
        *,
        received: datetime | None = None,
        folder: str = "inbox",
    ) -> str:
        """A message comes in, and subscribers are told. A mailbox that is not there is made. Returns the immutable id.

        Blocks while the message is written to disk: for large ones call it in a thread.
        """
        at = self.world.mailboxes.add(mailbox)
        change = self.world.mailboxes.deliver(at, mail, received, folder)
        # It is read at once, so that the first call that asks for it is as quick as the others.
        self.world.threads.submit(change.message.read_in)
        self.world.notifier.announce(at, change)
        return change.immutable_id

    def mutable_id(self, mailbox: str, message_id: str) -> str:
        """The id of a message as those see it who do not ask for immutable ones; another one after each move."""
        return self.world.mailboxes.get(mailbox).message(message_id).mutable_id

    def move(self, mailbox: str, message_id: str, folder: str) -> str:
        """Into another folder. Returns the immutable id, which is a new one only in `ARCHIVE`."""
        at = self.world.mailboxes.get(mailbox)
        message = at.message(message_id)
        self._announce(at, self.world.mailboxes.move(at, message, folder, reissue=folder == ARCHIVE))
        return message.immutable_id

    def delete(self, mailbox: str, message_id: str) -> None:
        """For good."""
        at = self.world.mailboxes.get(mailbox)
        self._announce(at, [self.world.mailboxes.delete(at, at.message(message_id))])

    def burn(self, mailbox: str) -> None:
        """As after a migration: all ids of the mailbox, its delta tokens and its subscriptions are no more."""
        at = self.world.mailboxes.get(mailbox)
        self.world.mailboxes.burn(at)
        for each in self.world.notifier.subscriptions.remove_of(at):
            self.world.notifier.lifecycle(each, "subscriptionRemoved")

    def revoke_tokens(self) -> None:
        """Those that were given out answer 401 from now on; new ones are good."""
        self.world.tokens.revoke()

    def send_missed(self, mailbox: str | None = None) -> None:
        """Tell the subscribers, of one mailbox or of all, that something may have been missed."""
        for each in self._subscriptions(mailbox):
            self.world.notifier.lifecycle(each, "missed")

    def remove_subscriptions(self, mailbox: str | None = None, *, tell: bool = True) -> int:
        """Drop them, of one mailbox or of all, and tell their subscribers so. Returns how many there were."""
        gone = self._subscriptions(mailbox)
        for each in gone:
            self.world.notifier.subscriptions.remove(each.id)
            if tell:
                self.world.notifier.lifecycle(each, "subscriptionRemoved")
        return len(gone)

    def demand_reauthorization(self, mailbox: str | None = None) -> None:
        """Subscribers are told of nothing more until they have reauthorised or renewed."""
        for each in self._subscriptions(mailbox):
            each.paused = True
            self.world.notifier.lifecycle(each, "reauthorizationRequired")

    def _subscriptions(self, mailbox: str | None) -> list[Subscription]:
        return [each for each in self.subscriptions if mailbox is None or each.mailbox.address == mailbox.lower()]

    def _announce(self, mailbox: Mailbox, changes: list[Change]) -> None:
        for change in changes:
            self.world.notifier.announce(mailbox, change)
