"""What to do about each subscription: a table, and the doing of it."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from satchel.mail.graph.options import ArrivalOptions
from satchel.mail.graph.subscribing import Subscribing
from satchel.mail.graph.subscriptions import Folder, asked_expiry, due_actions, renewal_time
from satchel.mail.host import Subscription, SubscriptionStatus, hash_client_state
from tests.unit.mail.graph.fakes import http_over
from tests.unit.mail.graph.office import URL, A, B, Office, now, seconds

INBOX = Folder(A, "inbox")
ACTIVE, CREATING, REMOVED, REAUTHORIZE = (
    SubscriptionStatus.ACTIVE,
    SubscriptionStatus.CREATING,
    SubscriptionStatus.REMOVED,
    SubscriptionStatus.REAUTHORIZE,
)


def row(status: SubscriptionStatus, expires: float | None = 900, renew: float | None = 600) -> Subscription:
    return Subscription(
        INBOX.key,
        A,
        "inbox",
        "hash",
        status,
        subscription_id=None if expires is None else "s",
        expires_at=None if expires is None else seconds(expires),
        renew_at=None if renew is None else seconds(renew),
    )


@pytest.mark.parametrize(
    ("stands", "at", "act"),
    [
        (None, 0, "create"),
        (row(CREATING, None, None), 0, "create"),
        (row(CREATING), 0, "create"),
        (row(REMOVED), 0, "create"),
        (row(ACTIVE, None), 0, "create"),
        (row(ACTIVE), 0, None),
        (row(ACTIVE), 599, None),
        (row(ACTIVE), 600, "renew"),
        (row(ACTIVE), 899, "renew"),
        (row(ACTIVE), 900, "create"),
        (row(ACTIVE, renew=None), 0, "renew"),
        (row(REAUTHORIZE), 0, "reauthorize"),
        (row(REAUTHORIZE), 700, "reauthorize"),
        (row(REAUTHORIZE), 900, "create"),
    ],
)
def test_what_is_due(stands: Subscription | None, at: float, act: str | None) -> None:
    rows = [] if stands is None else [stands]
    assert [each.act for each in due_actions(rows, [INBOX], seconds(at))] == ([] if act is None else [act])
    assert [each.act for each in due_actions(rows, [], seconds(at))] == [] if stands is None else ["drop"]


def test_each_folder_by_itself() -> None:
    other = Folder(B, "inbox")
    assert [(each.act, each.folder) for each in due_actions([row(ACTIVE)], [other], seconds(0))] == [
        ("drop", INBOX),
        ("create", other),
    ]


def test_lifetimes() -> None:
    assert asked_expiry(seconds(0), 5) == seconds(45 * 60)
    assert asked_expiry(seconds(0), 4230) == seconds(4230 * 60)
    assert renewal_time(seconds(0), seconds(90)) == seconds(60)


def subscribing(office: Office, *mailboxes: str, url: str | None = URL) -> Subscribing:
    options = ArrivalOptions(notification_url=url, subscription_minutes=60)
    return Subscribing(
        http_over(office.graph), options, mailboxes or (A,), office.host, on_gap=office.gaps.append, now=now
    )


async def test_a_subscription_is_made_and_its_secret_is_kept_nowhere() -> None:
    office = Office()
    kept = subscribing(office)
    assert not kept.covers(A)
    await kept.tick()
    [made] = office.subscriptions.values()
    assert made["changeType"] == "created"
    assert made["notificationUrl"] == f"{URL}/notifications/graph"
    assert made["lifecycleNotificationUrl"] == f"{URL}/notifications/graph/lifecycle"
    assert made["resource"] == f"users/{A}/mailFolders/inbox/messages"
    assert len(made["clientState"]) <= 128
    [stands] = office.host.subscribed.values()
    assert (stands.status, stands.subscription_id, stands.expires_at) == ("active", made["id"], seconds(3600))
    assert stands.client_state_hash == hash_client_state(made["clientState"])
    assert office.gaps == [A]
    await kept.tick()
    assert kept.covers(A)
    assert len(office.subscriptions) == 1


async def test_the_row_is_there_before_the_post() -> None:
    office = Office()
    office.refuses_posts = True
    await subscribing(office).tick()
    [stands] = office.host.subscribed.values()
    sent = msgspec.json.decode(office.calls("POST", "subscriptions")[0].request.body or b"")
    assert (stands.status, stands.client_state_hash) == ("creating", hash_client_state(sent["clientState"]))


async def test_it_is_renewed_in_time_by_the_servers_own_expiry() -> None:
    office = Office(longest_minutes=30)
    kept = subscribing(office)
    for _ in range(60 * 12):
        await kept.tick()
        await asyncio.sleep(10)
    assert len(office.calls("POST", "subscriptions")) == 1
    # Each lived for 30 minutes and was renewed at 20.
    assert len(office.calls("PATCH", "subscriptions")) == 5
    [stands] = office.host.subscribed.values()
    assert stands.expires_at is not None
    assert stands.expires_at > now()


@pytest.mark.parametrize("status", [REMOVED, REAUTHORIZE])
async def test_what_graph_has_forgotten_is_made_again(status: SubscriptionStatus) -> None:
    office = Office()
    kept = subscribing(office)
    await kept.tick()
    [old] = office.host.subscribed.values()
    office.subscriptions.clear()
    await office.host.save_subscription(replace(old, status=status))
    await kept.tick()
    await kept.tick()
    [made] = office.subscriptions.values()
    [stands] = office.host.subscribed.values()
    assert (stands.status, stands.subscription_id) == ("active", made["id"])
    assert stands.client_state_hash != old.client_state_hash
    assert office.gaps.count(A) >= 2


async def test_reauthorization() -> None:
    office = Office()
    kept = subscribing(office)
    await kept.tick()
    [old] = office.host.subscribed.values()
    await office.host.save_subscription(replace(old, status=REAUTHORIZE))
    await kept.tick()
    assert len(office.calls("POST", f"subscriptions/{old.subscription_id}/reauthorize")) == 1
    [stands] = office.host.subscribed.values()
    assert (stands.status, stands.subscription_id) == ("active", old.subscription_id)


async def test_a_crash_between_the_post_and_its_row_leaves_one_subscription() -> None:
    office = Office()
    await subscribing(office).tick()
    [made] = office.subscriptions.values()
    [stands] = office.host.subscribed.values()
    await office.host.save_subscription(replace(stands, status=CREATING, subscription_id=None))
    foreign = {**made, "id": "other", "notificationUrl": "https://another.example.com/notifications/graph"}
    elsewhere = {**made, "id": "elsewhere", "resource": "users/z@example.com/mailFolders/inbox/messages"}
    office.subscriptions |= {"other": foreign, "elsewhere": elsewhere}
    await subscribing(office).tick()
    assert made["id"] not in office.subscriptions
    assert {"other", "elsewhere"} < office.subscriptions.keys()
    assert len(office.subscriptions) == 3


async def test_subscriptions_that_lead_to_an_earlier_url_are_made_anew() -> None:
    office = Office()
    await subscribing(office).tick()
    [old] = office.subscriptions.values()
    await subscribing(office, url="https://moved.example.com").tick()
    [made] = office.subscriptions.values()
    assert made["id"] != old["id"]
    assert made["notificationUrl"] == "https://moved.example.com/notifications/graph"
    assert [row.subscription_id for row in office.host.subscribed.values()] == [made["id"]]
    assert office.gaps == [A, A]


async def test_what_lives_is_renewed_though_nobody_may_list_what_there_is() -> None:
    office = Office(longest_minutes=30)
    await subscribing(office).tick()
    await asyncio.sleep(25 * 60)
    office.refuses_lists = True
    await subscribing(office).tick()
    assert len(office.calls("PATCH", "subscriptions")) == 1


async def test_when_the_host_fails_nothing_is_left_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office()
    save = office.host.save_subscription

    async def save_those_of_b(subscription: Subscription) -> None:
        if subscription.mailbox == A:
            raise OSError
        await asyncio.sleep(1)
        await save(subscription)

    monkeypatch.setattr(office.host, "save_subscription", save_those_of_b)
    with pytest.raises(OSError):
        await subscribing(office, A, B).tick()
    [stands] = office.host.subscribed.values()
    assert stands.status == "active"


async def test_an_answer_that_does_not_come_leaves_one_subscription() -> None:
    office = Office()
    office.loses_answers = True
    kept = subscribing(office)
    await kept.tick()
    assert len(office.subscriptions) == 1
    office.loses_answers = False
    await asyncio.sleep(60)
    await kept.tick()
    [made] = office.subscriptions.values()
    assert [row.subscription_id for row in office.host.subscribed.values()] == [made["id"]]


async def test_failures_are_tried_again_less_and_less_often() -> None:
    office = Office()
    kept = subscribing(office)
    await kept.tick()
    office.subscriptions.clear()
    office.host.subscribed.clear()
    office.failing["subscriptions"] = 403
    for _ in range(720):
        await kept.tick()
        await asyncio.sleep(5)
    assert len(office.calls("POST", "subscriptions")) < 25
    del office.failing["subscriptions"]
    await asyncio.sleep(300)
    await kept.tick()
    assert len(office.subscriptions) == 1


async def test_without_a_url_there_are_none() -> None:
    office = Office()
    await subscribing(office, A, B).tick()
    assert len(office.subscriptions) == 2
    kept = subscribing(office, A, B, url=None)
    await kept.tick()
    assert office.subscriptions == {}
    assert office.host.subscribed == {}
    assert not kept.covers(A)
