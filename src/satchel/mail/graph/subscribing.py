"""Keeps subscriptions alive: does what is due every few seconds. What it knows is on the host's disk, so that a crash
at any moment is mended by the next start."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import msgspec
import structlog

from satchel.mail.graph.errors import GraphRefusal
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.options import ArrivalOptions
from satchel.mail.graph.subscriptions import Act, Action, Folder, asked_expiry, due_actions, renewal_time
from satchel.mail.graph.wire import Page
from satchel.mail.host import SourceHost, Subscription, SubscriptionStatus, hash_client_state
from satchel.mail.source import SourceUnavailable

NOTIFICATION_PATH = "/notifications/graph"
LIFECYCLE_PATH = "/notifications/graph/lifecycle"
# 64 characters; Graph takes up to 128.
_SECRET_BYTES = 48
_AT_ONCE = 4
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
_NOT_THERE = 404

log = structlog.get_logger(__name__)


class _Made(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    expiration_date_time: datetime


class _Renewed(msgspec.Struct, frozen=True, rename="camel"):
    expiration_date_time: datetime


class _Listed(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    resource: Any = None
    notification_url: Any = None


class Subscribing:
    """The subscriptions of one source. `on_gap` is told of mailboxes in which something may have been missed."""

    def __init__(
        self,
        http: GraphHttp,
        options: ArrivalOptions,
        mailboxes: Sequence[str],
        host: SourceHost,
        *,
        on_gap: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_secret: Callable[[], str] = lambda: secrets.token_urlsafe(_SECRET_BYTES),
    ) -> None:
        self._http = http
        self._options = options
        self._host = host
        self._on_gap = on_gap
        self._now = now
        self._new_secret = new_secret
        has_url = options.notification_url is not None
        self._wanted = [Folder(mailbox, name) for mailbox in mailboxes for name in options.folders] if has_url else []
        self._active: set[str] = set()
        self._failures: dict[str, tuple[int, datetime]] = {}
        # After a crash, or an answer that did not come, there may be subscriptions that nobody knows of; after a change
        # of the settings, such as lead elsewhere.
        self._has_strays = has_url
        self._places = asyncio.Semaphore(_AT_ONCE)

    def covers(self, mailbox: str) -> bool:
        """Whether notifications come from all folders of a mailbox, as far as is known."""
        return all(folder.key in self._active for folder in self._wanted if folder.mailbox == mailbox) and bool(
            self._wanted
        )

    async def tick(self) -> None:
        """Do what is due. What fails is logged, and due again after a while."""
        if self._has_strays and self._may_try(""):
            await self._attempt("", "strays", self._remove_strays)
        rows = await self._host.subscriptions()
        actions = due_actions(rows, self._wanted, self._now())
        in_trouble = {action.folder.key for action in actions if action.act is Act.CREATE}
        self._active = {row.key for row in rows} - in_trouble
        acts = (self._act(action) for action in actions if self._may_try(action.folder.key))
        # All come to their end before the host's failure ends the watch: the next one must find none at work.
        for outcome in await asyncio.gather(*acts, return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def _act(self, action: Action) -> None:
        async with self._places:
            await self._attempt(action.folder.key, action.act.value, lambda: self._do(action))

    async def _attempt(self, key: str, what: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Whether it went well; `key` is whose failures are counted."""
        try:
            await work()
        except (GraphRefusal, SourceUnavailable) as error:
            count = self._failures.get(key, (0, self._now()))[0] + 1
            pause_seconds = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(count - 1, 20), _LONGEST_PAUSE_SECONDS)
            self._failures[key] = count, self._now() + timedelta(seconds=pause_seconds)
            status = error.status if isinstance(error, GraphRefusal) else error.upstream_status
            log.warning("subscription_failed", act=what, error=type(error).__name__, status=status, attempt=count)
            return False
        self._failures.pop(key, None)
        log.info("subscription_done", act=what)
        return True

    def _may_try(self, key: str) -> bool:
        return key not in self._failures or self._failures[key][1] <= self._now()

    async def _do(self, action: Action) -> None:
        if action.row is None or action.act is Act.CREATE:
            await self._create(action.folder)
        elif action.act is Act.DROP:
            await self._drop(action.row)
        else:
            await self._keep(action.row, action.act)

    async def _create(self, folder: Folder) -> None:
        """The row comes first: with it, notifications are known that come before the answer does."""
        secret = self._new_secret()
        row = Subscription(
            folder.key, folder.mailbox, folder.name, hash_client_state(secret), SubscriptionStatus.CREATING
        )
        await self._host.save_subscription(row)
        body = {
            "changeType": "created",
            "notificationUrl": f"{self._options.notification_url}{NOTIFICATION_PATH}",
            "lifecycleNotificationUrl": f"{self._options.notification_url}{LIFECYCLE_PATH}",
            "resource": folder.resource,
            "expirationDateTime": asked_expiry(self._now(), self._options.subscription_minutes),
            "clientState": secret,
        }
        try:
            made = await self._http.post("subscriptions", body, mailbox=None, as_=_Made)
        except SourceUnavailable:
            self._has_strays = True
            raise
        await self._host.save_subscription(self._alive(row, made.expiration_date_time, made.id))
        # Nothing told of what came since the last look.
        self._on_gap(folder.mailbox)

    async def _keep(self, row: Subscription, act: Act) -> None:
        path = f"subscriptions/{row.subscription_id}"
        try:
            if act is Act.REAUTHORIZE:
                await self._http.post(f"{path}/reauthorize", {}, mailbox=None, as_=type(None), repeatable=True)
            body = {"expirationDateTime": asked_expiry(self._now(), self._options.subscription_minutes)}
            renewed = await self._http.patch(path, body, mailbox=None, as_=_Renewed)
        except GraphRefusal as refusal:
            if refusal.status != _NOT_THERE:
                raise
            await self._host.save_subscription(replace(row, status=SubscriptionStatus.REMOVED))
            self._on_gap(row.mailbox)
            return
        await self._host.save_subscription(self._alive(row, renewed.expiration_date_time, row.subscription_id))

    def _alive(self, row: Subscription, expires_at: datetime, subscription_id: str | None) -> Subscription:
        expires_at = expires_at if expires_at.tzinfo is not None else expires_at.replace(tzinfo=UTC)
        return replace(
            row,
            status=SubscriptionStatus.ACTIVE,
            subscription_id=subscription_id,
            expires_at=expires_at,
            renew_at=renewal_time(self._now(), expires_at),
        )

    async def _drop(self, row: Subscription) -> None:
        if row.subscription_id is not None:
            await self._delete(row.subscription_id)
        await self._host.remove_subscription(row.key)

    async def _remove_strays(self) -> None:
        """Subscriptions of ours at Graph that no row knows, whose notifications would be refused for ever, and those
        that lead to an earlier URL of ours."""
        pages = self._http.pages("subscriptions", mailbox=None, as_=Page[_Listed])
        listed = [each async for page in pages for each in page.value]
        own = await self._host.subscriptions()
        resources = {_same(folder.resource) for folder in self._wanted}
        resources |= {_same(Folder(row.mailbox, row.folder).resource) for row in own}
        rows = {row.subscription_id: row for row in own}
        for each in listed:
            leads_here = _same(each.notification_url) == _same(f"{self._options.notification_url}{NOTIFICATION_PATH}")
            if (row := rows.get(each.id)) is not None and not leads_here:
                await self._host.save_subscription(replace(row, status=SubscriptionStatus.REMOVED))
                await self._delete(each.id)
            elif row is None and leads_here and _same(each.resource) in resources:
                await self._delete(each.id)
        self._has_strays = False

    async def _delete(self, subscription_id: str) -> None:
        try:
            await self._http.delete(f"subscriptions/{subscription_id}", mailbox=None)
        except GraphRefusal as refusal:
            if refusal.status != _NOT_THERE:
                raise


def _same(spelled: Any) -> str:
    """A resource or URL as Graph may spell it, to be compared."""
    return unquote(spelled).strip("/").lower() if isinstance(spelled, str) else ""
