"""Subscriptions: who is told of what, until when."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from satchel.testing.graph.described import instant
from satchel.testing.graph.errors import GraphError
from satchel.testing.graph.ids import Ids
from satchel.testing.graph.mailboxes import Change, ChangeType, Mailbox, Mailboxes
from satchel.testing.graph.query import read_instant

MAX_CLIENT_STATE_CHARACTERS = 128
MAX_PER_MAILBOX = 1000
LEAST_LIFE = timedelta(minutes=45)
_RESOURCE = re.compile(
    r"/?users(?:/([^/()]+)|\('([^']+)'\))(?:/mailfolders(?:/([^/()]+)|\('([^']+)'\)))?/messages/?", re.IGNORECASE
)


@dataclass(slots=True, eq=False)
class Subscription:
    """One subscription. `folder` None: the whole mailbox. `paused`: it must be reauthorised first."""

    id: str
    mailbox: Mailbox
    folder: str | None
    change_types: frozenset[ChangeType]
    resource: str
    notification_url: str
    lifecycle_url: str | None
    client_state: str | None
    immutable: bool
    expires: datetime
    paused: bool = False

    def concerns(self, mailbox: Mailbox, change: Change) -> bool:
        return (
            self.mailbox is mailbox
            and self.folder in {None, change.folder}
            and change.type in self.change_types
            and not self.paused
        )


class Subscriptions:
    """All that there are. `now` gives seconds since 1970. `most_minutes` is how long one may live."""

    def __init__(self, mailboxes: Mailboxes, ids: Ids, now: Callable[[], float], most_minutes: int = 4230) -> None:
        self.most_minutes = most_minutes
        self._mailboxes = mailboxes
        self._ids = ids
        self._now = now
        self._made = 0
        self._all: dict[str, Subscription] = {}

    def all(self) -> list[Subscription]:
        """Those that have not expired."""
        now = datetime.fromtimestamp(self._now(), UTC)
        self._all = {each.id: each for each in self._all.values() if each.expires > now}
        return list(self._all.values())

    def get(self, subscription_id: str) -> Subscription:
        """Raises GraphError where there is none, or none any more."""
        self.all()
        found = self._all.get(subscription_id.lower())
        if found is None:
            raise GraphError(404, "ResourceNotFound", "The object was not found.")
        return found

    def read(self, body: dict[str, Any], *, immutable: bool) -> Subscription:
        """What a POST asks for, checked but not yet made. Raises GraphError."""
        for name in ("changeType", "notificationUrl", "resource", "expirationDateTime"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise _invalid(f"{name} is required.")
        state = body.get("clientState")
        if state is not None and (not isinstance(state, str) or len(state) > MAX_CLIENT_STATE_CHARACTERS):
            raise _invalid(f"clientState may have {MAX_CLIENT_STATE_CHARACTERS} characters at the most.")
        lifecycle = body.get("lifecycleNotificationUrl")
        mailbox, folder = self._resource(body["resource"])
        if sum(each.mailbox is mailbox for each in self.all()) >= MAX_PER_MAILBOX:
            raise GraphError(403, "ExtensionError", "The mailbox has reached its maximum number of subscriptions.")
        return Subscription(
            id="",
            mailbox=mailbox,
            folder=folder,
            change_types=_change_types(body["changeType"]),
            resource=body["resource"],
            notification_url=_url(body["notificationUrl"]),
            lifecycle_url=_url(lifecycle) if lifecycle is not None else None,
            client_state=state,
            immutable=immutable,
            expires=self.expiry(body["expirationDateTime"]),
        )

    def add(self, subscription: Subscription) -> Subscription:
        self._made += 1
        subscription.id = self._ids.guid("subscription", self._made)
        self._all[subscription.id] = subscription
        return subscription

    def remove(self, subscription_id: str) -> Subscription:
        """Raises GraphError."""
        found = self.get(subscription_id)
        del self._all[found.id]
        return found

    def remove_of(self, mailbox: Mailbox) -> list[Subscription]:
        gone = [each for each in self.all() if each.mailbox is mailbox]
        for each in gone:
            del self._all[each.id]
        return gone

    def expiry(self, text: object) -> datetime:
        """The end of life that is asked for, lengthened to the shortest there is. Raises GraphError."""
        asked = read_instant(text) if isinstance(text, str) else None
        now = datetime.fromtimestamp(self._now(), UTC)
        if asked is None or asked <= now:
            raise _invalid("Subscription expiration must be a time in the future.")
        # The clocks of client and server differ a little.
        if asked > now + timedelta(minutes=self.most_minutes + 5):
            raise _invalid(f"Subscription expiration can only be {self.most_minutes} minutes in the future.")
        return max(asked, now + LEAST_LIFE)

    def _resource(self, text: str) -> tuple[Mailbox, str | None]:
        match = _RESOURCE.fullmatch(text)
        if match is None:
            raise _invalid("The resource is not one that can be subscribed to.")
        mailbox = self._mailboxes.readable(unquote(match[1] or match[2]))
        folder = match[3] or match[4]
        return mailbox, mailbox.folder(unquote(folder)).name if folder else None


def subscription_json(subscription: Subscription, app_id: str, *, with_state: bool) -> dict[str, Any]:
    """As Graph shows it; the client state only in the answer to its creation."""
    return {
        "id": subscription.id,
        "resource": subscription.resource,
        "applicationId": app_id,
        "changeType": ",".join(sorted(subscription.change_types)),
        "clientState": subscription.client_state if with_state else None,
        "notificationUrl": subscription.notification_url,
        "notificationQueryOptions": None,
        "lifecycleNotificationUrl": subscription.lifecycle_url,
        "expirationDateTime": instant(subscription.expires),
        "creatorId": app_id,
        "includeResourceData": None,
        "latestSupportedTlsVersion": "v1_2",
        "encryptionCertificate": None,
        "encryptionCertificateId": None,
        "notificationUrlAppId": None,
    }


def _url(text: object) -> str:
    try:
        if isinstance(text, str) and urlsplit(text).scheme in {"http", "https"}:
            return text
    except ValueError:
        pass
    raise _invalid("The notification URL must be an absolute https URL.")


def _change_types(text: str) -> frozenset[ChangeType]:
    try:
        return frozenset(ChangeType(each.strip().lower()) for each in text.split(","))
    except ValueError:
        raise _invalid("changeType may be created, updated and deleted.") from None


def _invalid(message: str) -> GraphError:
    return GraphError(400, "InvalidRequest", message)
