"""Tells subscribers what happened: in Graph's JSON, again when nobody answers, and badly where a fault says so."""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import msgspec

from satchel.testing.graph.described import etag, instant
from satchel.testing.graph.dice import Dice
from satchel.testing.graph.errors import GraphError
from satchel.testing.graph.faults import Faults, When
from satchel.testing.graph.mailboxes import Change, ChangeType, Mailbox
from satchel.testing.graph.subscriptions import Subscription, Subscriptions

HANDSHAKE_SECONDS = 10.0
KIND = "notification"
MOST_IN_ONE = 20
_PACE_SECONDS = 600.0
_SLOW_SHARE = 0.15
_LEAST_ANSWERS = 20
_MOST_ANSWERS = 10_000


class Pace:
    """How quickly endpoints answer. Graph drops what is for one that is slow in more than 15 % of cases in 10 minutes.

    `steady` gives seconds of a clock that does not jump.
    """

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._answers: dict[str, deque[tuple[float, bool]]] = {}

    def note(self, url: str, *, slow: bool) -> None:
        self._recent(url).append((self._steady(), slow))

    def drops(self, url: str) -> bool:
        """Whether notifications for this endpoint are thrown away now."""
        recent = self._recent(url)
        return len(recent) >= _LEAST_ANSWERS and sum(slow for _, slow in recent) > _SLOW_SHARE * len(recent)

    def _recent(self, url: str) -> deque[tuple[float, bool]]:
        answers = self._answers.setdefault(url, deque(maxlen=_MOST_ANSWERS))
        while answers and answers[0][0] < self._steady() - _PACE_SECONDS:
            answers.popleft()
        return answers


class Notifier:
    """Sends notifications and lifecycle events. Start it in the loop that it is to work in.

    `patience_seconds` is how long a receiver may take, `attempts` how often one is tried in all, with
    `retry_seconds`, doubled each time, in between. `sent` counts what was answered with 2xx, `lost` what was not sent
    because of the fault, `given_up` what no receiver took, or what was thrown away because the receiver is slow.
    Certificates of receivers are not checked.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        dice: Dice,
        faults: Callable[[], Faults],
        tenant_id: str,
        steady: Callable[[], float],
    ) -> None:
        self.subscriptions = subscriptions
        self.patience_seconds = 3.0
        self.attempts = 8
        self.retry_seconds = 0.5
        self.sent = 0
        self.lost = 0
        self.given_up = 0
        self._dice = dice
        self._steady = steady
        self._pace = Pace(steady)
        self._faults = faults
        self._tenant_id = tenant_id
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None
        self._gathered: dict[str, list[dict[str, Any]]] = {}

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False))

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def handshake(self, url: str) -> None:
        """Prove that the endpoint is the subscriber's. Raises GraphError where it does not answer as it must."""
        token = f"Validation: Testing client application reachability for subscription {secrets.token_urlsafe(12)}+/ ="
        try:
            async with self._client.post(
                url,
                params={"validationToken": token},
                data=b"",
                headers={"Content-Type": "text/plain; charset=utf-8"},
                timeout=aiohttp.ClientTimeout(HANDSHAKE_SECONDS),
            ) as answer:
                text = await answer.text()
                right = answer.status == 200 and text == token and answer.content_type == "text/plain"
                reason = (
                    f"HTTP status code is '{answer.status}'" if answer.status != 200 else "the token was not echoed"
                )
        except (aiohttp.ClientError, TimeoutError, ValueError):
            right, reason = False, "the endpoint did not answer"
        if not right:
            raise GraphError(400, "ValidationError", f"Subscription validation request failed: {reason}.")

    def announce(self, mailbox: Mailbox, change: Change) -> None:
        """Tell whom it concerns. May be called from any thread; the sending goes on by itself."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._announce, mailbox, change)

    def lifecycle(self, subscription: Subscription, event: str) -> None:
        """Send `missed`, `subscriptionRemoved` or `reauthorizationRequired`. May be called from any thread."""
        if self._loop is not None and subscription.lifecycle_url is not None:
            told = {"lifecycleEvent": event, "resource": subscription.resource, "resourceData": None}
            url, body = subscription.lifecycle_url, self._common(subscription) | told
            self._loop.call_soon_threadsafe(self._queue, url, body, 0.0)

    @property
    def waiting(self) -> int:
        """How many notifications are still to be taken."""
        return len(self._tasks)

    def _announce(self, mailbox: Mailbox, change: Change) -> None:
        for subscription in self.subscriptions.all():
            if not subscription.concerns(mailbox, change):
                continue
            if self._falls("remove_subscription", mailbox):
                self.subscriptions.remove(subscription.id)
                self.lifecycle(subscription, "subscriptionRemoved")
                continue
            if self._falls("lose_notification", mailbox):
                self.lost += 1
                if self._falls("missed_after_loss", mailbox):
                    self.lifecycle(subscription, "missed")
                continue
            body = self._common(subscription) | _told(subscription, mailbox, change)
            for _ in range(2 if self._falls("duplicate_notification", mailbox) else 1):
                delay = 0.0
                if self._falls("delay_notification", mailbox):
                    delay = self._dice.share() * self._faults().notification_delay_seconds
                self._queue(subscription.notification_url, body, delay)

    def _falls(self, name: str, mailbox: Mailbox) -> bool:
        when = getattr(self._faults(), name)
        return isinstance(when, When) and self._dice.falls(when, KIND, mailbox.address)

    def _common(self, subscription: Subscription) -> dict[str, Any]:
        return {
            "subscriptionId": subscription.id,
            "subscriptionExpirationDateTime": instant(subscription.expires),
            "clientState": subscription.client_state,
            "tenantId": self._tenant_id,
        }

    def _queue(self, url: str, body: dict[str, Any], delay_seconds: float) -> None:
        """What comes at once for one endpoint goes in one POST, as from Graph; what is late goes alone."""
        if delay_seconds:
            self._spawn(self._deliver(url, [body], delay_seconds))
            return
        gathered = self._gathered.setdefault(url, [])
        gathered.append(body)
        if len(gathered) == 1:
            asyncio.get_running_loop().call_soon(self._flush, url)

    def _flush(self, url: str) -> None:
        gathered = self._gathered.pop(url)
        for start in range(0, len(gathered), MOST_IN_ONE):
            self._spawn(self._deliver(url, gathered[start : start + MOST_IN_ONE], 0.0))

    def _spawn(self, delivery: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(delivery)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, url: str, bodies: list[dict[str, Any]], delay_seconds: float) -> None:
        await asyncio.sleep(delay_seconds)
        encoded = msgspec.json.encode({"value": bodies})
        for attempt in range(self.attempts):
            if self._pace.drops(url):
                break
            if await self._post(url, encoded):
                self.sent += len(bodies)
                return
            await asyncio.sleep(self.retry_seconds * 2**attempt)
        self.given_up += len(bodies)

    async def _post(self, url: str, body: bytes) -> bool:
        began = self._steady()
        try:
            async with self._client.post(
                url,
                data=body,
                headers={"Content-Type": "application/json; charset=utf-8"},
                timeout=aiohttp.ClientTimeout(self.patience_seconds),
                allow_redirects=False,
            ) as answer:
                return 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return False
        finally:
            self._pace.note(url, slow=self._steady() - began >= self.patience_seconds)

    @property
    def _client(self) -> aiohttp.ClientSession:
        assert self._session is not None, "start it first"
        return self._session


def _told(subscription: Subscription, mailbox: Mailbox, change: Change) -> dict[str, Any]:
    message_id = change.immutable_id if subscription.immutable else change.mutable_id
    resource = f"Users/{mailbox.id}/Messages/{message_id}"
    gone = change.type is ChangeType.DELETED
    data = {"@odata.type": "#Microsoft.Graph.Message", "@odata.id": resource, "id": message_id}
    if not gone:
        data["@odata.etag"] = etag(change.message)
    return {"changeType": change.type.value, "resource": resource, "resourceData": data}
