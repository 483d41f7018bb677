"""What is posted to the notification URLs, and what it leaves in the database."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from satchel.gateway.admission import Admission
from satchel.gateway.api.application import build_application
from satchel.gateway.graph.host import StoredHost
from satchel.gateway.graph.notifications import LIFECYCLE, NOTIFICATIONS, Notifications, notification_operations
from satchel.gateway.limits.downloads import Downloads
from satchel.gateway.limits.rates import AccountRates, FailedKeys, Limits
from satchel.gateway.limits.windows import MemoryWindow
from satchel.gateway.reports.reporting import Reporting
from satchel.gateway.service import AttachmentService
from satchel.gateway.store.accounts import register_accounts
from satchel.gateway.store.database import Store
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, pending_messages
from satchel.mail.host import Subscription, SubscriptionStatus, hash_client_state
from satchel.mail.source import MessageRef
from tests.unit.gateway.fakes import MAILBOX, OTHER_MAILBOX, Answer, call

Post = Callable[..., Any]


def name_message(mailbox: str, graph_id: str) -> MessageRef | None:
    return MessageRef(mailbox, f"our-{graph_id}", graph_id) if graph_id.isalnum() else None


def subscription(secret: str, mailbox: str = MAILBOX, **changes: Any) -> Subscription:
    values = {"status": SubscriptionStatus.ACTIVE, "subscription_id": f"s-{secret}"} | changes
    return Subscription(f"{mailbox}/inbox", mailbox, "inbox", hash_client_state(secret), **values)


def created(graph_id: str, secret: str = "secret") -> dict[str, Any]:
    return {
        "subscriptionId": "s",
        "clientState": secret,
        "changeType": "created",
        "resource": f"Users/u/Messages/{graph_id}",
        "resourceData": {"@odata.type": "#Microsoft.Graph.Message", "id": graph_id},
        "tenantId": "t",
    }


def event(name: str, secret: str = "secret") -> dict[str, Any]:
    return {"subscriptionId": "s", "clientState": secret, "lifecycleEvent": name, "tenantId": "t"}


@pytest.fixture
def host(store: Store) -> StoredHost:
    return StoredHost(store, DEFAULT_ACCOUNT_ID)


@pytest.fixture
def wakes() -> list[None]:
    return []


@pytest.fixture
def notifications(store: Store, wakes: list[None]) -> Notifications:
    return Notifications(store, name_message, on_arrival=lambda: wakes.append(None))


@pytest.fixture
def post(store: Store, notifications: Notifications) -> Post:
    async def ready() -> dict[str, bool]:
        return {}

    limits = Limits(
        AccountRates(MemoryWindow(), lambda _: 0),
        FailedKeys(MemoryWindow(), 0),
        Downloads(per_key=1, in_all=1),
        Downloads(per_key=1, in_all=1),
    )
    app = build_application(
        Admission(store, limits),
        AttachmentService({}),
        Reporting(store),
        ready,
        others=notification_operations(notifications),
    )

    async def posted(*values: Any, path: str = NOTIFICATIONS.path, body: bytes | None = None, **more: Any) -> Answer:
        return await call(
            app, path, method="POST", body=json.dumps({"value": values}).encode() if body is None else body, **more
        )

    return posted


def pending(engine: sa.Engine) -> list[tuple[str, str, str]]:
    query = sa.select(pending_messages.c.mailbox, pending_messages.c.message_id, pending_messages.c.locator)
    with engine.connect() as connection:
        return sorted((row[0], row[1], row[2]) for row in connection.execute(query))


@pytest.mark.parametrize("path", [NOTIFICATIONS.path, LIFECYCLE.path])
async def test_the_handshake_gives_back_the_decoded_token_and_nothing_a_browser_would_run(
    post: Post, path: str
) -> None:
    answer = await post(path=f"{path}?validationToken=a%20b%2Bc%3Cscript%3E%3A+%C3%A9", body=b"")
    assert (answer.status, answer.body) == (200, "a b+c<script>: é".encode())
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_token_is_bounded(post: Post) -> None:
    assert (await post(path=f"{NOTIFICATIONS.path}?validationToken={'x' * 4096}", body=b"")).status == 200
    assert (await post(path=f"{NOTIFICATIONS.path}?validationToken={'x' * 4097}", body=b"")).status == 400


async def test_a_notification_is_on_disk_when_it_is_answered(
    engine: sa.Engine, post: Post, host: StoredHost, wakes: list[None]
) -> None:
    await host.save_subscription(subscription("secret"))
    answer = await post(created("A1"), created("A2"))
    assert (answer.status, answer.body) == (202, b"")
    assert pending(engine) == [(MAILBOX, "our-A1", "A1"), (MAILBOX, "our-A2", "A2")]
    assert len(wakes) == 1


async def test_what_comes_twice_is_there_once(
    engine: sa.Engine, post: Post, host: StoredHost, wakes: list[None], notifications: Notifications
) -> None:
    await host.save_subscription(subscription("secret"))
    for answer in await asyncio.gather(*(post(created("A1"), created("A1")) for _ in range(20)), post(created("A1"))):
        assert answer.status == 202
    assert len(pending(engine)) == 1
    assert len(wakes) == 1
    assert notifications.taken_count == 41


async def test_many_posts_at_once(engine: sa.Engine, post: Post, host: StoredHost) -> None:
    await host.save_subscription(subscription("secret"))
    answers = await asyncio.gather(*(post(created(f"A{number}")) for number in range(500)))
    assert {answer.status for answer in answers} == {202}
    assert len(pending(engine)) == 500


@pytest.mark.parametrize("secret", ["", "Secret", "secret ", "sécret", None])
async def test_a_wrong_secret_is_counted_and_answered_like_a_right_one(
    engine: sa.Engine, post: Post, host: StoredHost, secret: str | None, notifications: Notifications
) -> None:
    await host.save_subscription(subscription("secret"))
    right, wrong = await post(created("A1")), await post(created("A2") | {"clientState": secret})
    assert (wrong.status, wrong.body, wrong.headers.keys()) == (202, b"", right.headers.keys())
    assert len(pending(engine)) == 1
    assert (notifications.taken_count, notifications.refused_count) == (1, 1)


async def test_a_secret_alone_decides_whose_message_it_is(
    engine: sa.Engine, store: Store, post: Post, host: StoredHost
) -> None:
    acme = StoredHost(store, register_accounts(engine, ["acme"], actor="cli:1")["acme"])
    await host.save_subscription(subscription("secret"))
    await acme.save_subscription(subscription("other", OTHER_MAILBOX))
    await post(created("A1", "other") | {"subscriptionId": "s-secret"})
    assert pending(engine) == [(OTHER_MAILBOX, "our-A1", "A1")]


async def test_a_notification_may_come_before_the_subscription_is_known_to_be_there(
    engine: sa.Engine, post: Post, host: StoredHost
) -> None:
    await host.save_subscription(subscription("secret", status=SubscriptionStatus.CREATING, subscription_id=None))
    await post(created("A1"))
    assert len(pending(engine)) == 1


@pytest.mark.parametrize(
    "strange",
    [
        {},
        {"changeType": "deleted"},
        {"resourceData": None},
        {"resourceData": {}},
        {"resourceData": {"id": "../users"}},
        {"lifecycleEvent": "somethingNew"},
    ],
)
async def test_what_says_nothing_of_a_message_is_taken_and_leaves_nothing(
    engine: sa.Engine, post: Post, host: StoredHost, strange: dict[str, Any]
) -> None:
    await host.save_subscription(subscription("secret"))
    answer = await post(created("A1") | strange if strange else {"clientState": "secret"})
    assert answer.status == 202
    assert pending(engine) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"value": {}}',
        b'{"value": [1]}',
        b'{"value":[{"resourceData":7}]}',
        b"\xff" * 99,
        b"[" * 100_000,
        b'{"value":[' + b"{}," * 5000 + b"{}]}",
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_what_is_no_collection_of_notifications_is_refused(
    post: Post, body: bytes, notifications: Notifications
) -> None:
    answer = await post(body=body)
    envelope = json.loads(answer.body)
    assert (answer.status, envelope["error"]["reason"]) == (400, "invalid_request")
    # It may hold what nobody but Microsoft is to know.
    assert "body" not in envelope["_links"]["origin"]
    assert notifications.unreadable_count == 1


async def test_a_body_is_bounded(post: Post) -> None:
    assert (await post(body=b'{"value": [' + b" " * 1024 * 1024 + b"]}")).status == 413


async def test_secrets_of_strangers_spoil_no_post_of_ours(engine: sa.Engine, post: Post, host: StoredHost) -> None:
    await host.save_subscription(subscription("secret"))
    guesses = [[{"clientState": f"{body}-{number}"} for number in range(5000)] for body in range(60)]
    answers = await asyncio.gather(post(created("A1")), *(post(*guess) for guess in guesses), post(created("A2")))
    assert {answer.status for answer in answers} == {202}
    assert len(pending(engine)) == 2


async def test_word_of_a_subscriptions_life(post: Post, host: StoredHost) -> None:
    await host.save_subscription(subscription("secret"))
    await host.save_subscription(subscription("other", OTHER_MAILBOX))
    assert (await post(event("reauthorizationRequired"), path=LIFECYCLE.path)).status == 202
    assert [each.status for each in await host.subscriptions()] == ["active", "reauthorize"]
    assert await host.take_catch_up_requests() == frozenset()
    await post(event("missed"), event("subscriptionRemoved", "other"), path=LIFECYCLE.path)
    assert [each.status for each in await host.subscriptions()] == ["removed", "reauthorize"]
    assert await host.take_catch_up_requests() == {MAILBOX, OTHER_MAILBOX}
    assert await host.take_catch_up_requests() == frozenset()


async def test_word_of_an_earlier_subscription_changes_nothing(post: Post, host: StoredHost) -> None:
    await host.save_subscription(subscription("secret"))
    await host.save_subscription(subscription("newer"))
    await post(event("subscriptionRemoved"), path=LIFECYCLE.path)
    assert [each.status for each in await host.subscriptions()] == ["active"]


async def test_a_renewal_does_not_hide_a_removal(post: Post, host: StoredHost) -> None:
    await host.save_subscription(subscription("secret"))
    await post(event("subscriptionRemoved"), path=LIFECYCLE.path)
    await host.save_subscription(subscription("secret"))
    assert [each.status for each in await host.subscriptions()] == ["removed"]
    await host.save_subscription(subscription("newer"))
    assert [each.status for each in await host.subscriptions()] == ["active"]


async def test_cursors(host: StoredHost) -> None:
    assert await host.cursor("k") is None
    await host.save_cursor("k", "1")
    await host.save_cursor("k", "2")
    assert await host.cursor("k") == "2"
    await host.save_cursor("k", None)
    assert await host.cursor("k") is None
