"""Subscriptions of the Graph simulator: handshake, notifications and what goes wrong with them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from satchel.testing.graph import ALWAYS, Faults, GraphSimulator, next_calls
from satchel.testing.mail import message
from tests.contracts.graph_calls import MAILBOX, USER, Graph, graph

STATE = "a secret of the subscriber"


@dataclass
class Receiver:
    """An endpoint for notifications. `statuses` are what it answers next, before it answers 202 to all."""

    url: str = ""
    validates: bool = True
    handshakes: list[str] = field(default_factory=list)
    posts: list[list[dict[str, Any]]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def told(self) -> list[dict[str, Any]]:
        return [each for post in self.posts for each in post]

    async def answer(self, request: web.Request) -> web.Response:
        if "validationToken" in request.query:
            self.handshakes.append(request.path)
            text = request.query["validationToken"] if self.validates else "something else"
            return web.Response(text=text)
        status = self.statuses.pop(0) if self.statuses else 202
        if status == 202:
            body = await request.json()
            async with self.came:
                self.posts.append(body["value"])
                self.came.notify_all()
        return web.Response(status=status)

    async def until(self, count: int) -> list[dict[str, Any]]:
        async with self.came:
            await asyncio.wait_for(self.came.wait_for(lambda: len(self.told) >= count), 10)
        return self.told


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def simulator() -> AsyncIterator[GraphSimulator]:
    async with GraphSimulator(tls=False) as running:
        running.add_mailbox(MAILBOX)
        running.world.notifier.retry_seconds = 0.01
        yield running


@pytest.fixture
async def client(simulator: GraphSimulator) -> AsyncIterator[Graph]:
    async with graph(simulator) as client:
        yield client


def wanted(receiver: Receiver, **changed: object) -> dict[str, object]:
    return {
        "changeType": "created",
        "notificationUrl": f"{receiver.url}/notify",
        "lifecycleNotificationUrl": f"{receiver.url}/lifecycle",
        "resource": f"users/{MAILBOX}/mailFolders('inbox')/messages",
        "expirationDateTime": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        "clientState": STATE,
    } | changed


async def subscribe(client: Graph, receiver: Receiver, **changed: object) -> dict[str, Any]:
    status, body = await client.call("POST", "/subscriptions", wanted(receiver, **changed))
    assert status == 201, body
    assert isinstance(body, dict)
    return body


async def test_arrivals_are_told(simulator: GraphSimulator, client: Graph, receiver: Receiver) -> None:
    subscription = await subscribe(client, receiver)
    assert receiver.handshakes == ["/notify", "/lifecycle"]
    assert subscription["clientState"] == STATE
    message_id = simulator.deliver(MAILBOX, message("one", "One", []))
    simulator.deliver(MAILBOX, message("junk", "Junk", []), folder="junkemail")
    (told,) = await receiver.until(1)
    assert told["subscriptionId"] == subscription["id"]
    assert (told["changeType"], told["clientState"], told["tenantId"]) == ("created", STATE, simulator.tenant_id)
    assert told["resourceData"]["id"] == message_id
    assert told["resource"] == told["resourceData"]["@odata.id"]
    assert told["resource"].endswith(f"/Messages/{message_id}")
    assert (await client.get("/" + told["resource"]))["id"] == message_id


async def test_without_the_preference_ids_are_mutable(
    simulator: GraphSimulator, client: Graph, receiver: Receiver
) -> None:
    status, _ = await client.call("POST", "/subscriptions", wanted(receiver), immutable=False)
    assert status == 201
    message_id = simulator.deliver(MAILBOX, message("one", "One", []))
    (told,) = await receiver.until(1)
    assert told["resourceData"]["id"] == simulator.mutable_id(MAILBOX, message_id)


async def test_a_subscription_is_read_renewed_and_removed(
    simulator: GraphSimulator, client: Graph, receiver: Receiver
) -> None:
    path = f"/subscriptions/{(await subscribe(client, receiver))['id']}"
    shown = await client.get(path)
    assert shown["clientState"] is None
    assert [each["id"] for each in (await client.get("/subscriptions"))["value"]] == [shown["id"]]
    later = (datetime.now(UTC) + timedelta(minutes=4000)).strftime("%Y-%m-%dT%H:%M:%SZ")
    status, renewed = await client.call("PATCH", path, {"expirationDateTime": later})
    assert (status, renewed["expirationDateTime"]) == (200, later)
    assert (await client.call("POST", f"{path}/reauthorize"))[0] == 204
    assert (await client.call("DELETE", path))[0] == 204
    assert await client.error("GET", path) == (404, "ResourceNotFound")


async def test_its_life_has_a_least_and_a_most(client: Graph, receiver: Receiver) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    made = await subscribe(client, receiver, expirationDateTime=soon)
    assert datetime.fromisoformat(made["expirationDateTime"]) > datetime.now(UTC) + timedelta(minutes=44)
    late = (datetime.now(UTC) + timedelta(days=4)).isoformat()
    asked = wanted(receiver, expirationDateTime=late)
    assert await client.error("POST", "/subscriptions", asked) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "changed",
    [
        {"clientState": "x" * 129},
        {"changeType": "invented"},
        {"resource": "users/a/calendar"},
        {"notificationUrl": None},
        {"notificationUrl": "ftp://example.com"},
        {"notificationUrl": "https://[::1"},
        {"lifecycleNotificationUrl": 5},
    ],
)
async def test_what_cannot_be_subscribed_to(changed: dict[str, object], client: Graph, receiver: Receiver) -> None:
    asked = wanted(receiver, **changed)
    assert (await client.error("POST", "/subscriptions", asked)) == (400, "InvalidRequest")


async def test_an_endpoint_that_does_not_echo_is_refused(client: Graph, receiver: Receiver) -> None:
    receiver.validates = False
    assert await client.error("POST", "/subscriptions", wanted(receiver)) == (400, "ValidationError")


async def test_a_notification_comes_again_until_it_is_taken(
    simulator: GraphSimulator, client: Graph, receiver: Receiver
) -> None:
    await subscribe(client, receiver)
    receiver.statuses = [500, 503]
    simulator.deliver(MAILBOX, message("one", "One", []))
    assert len(await receiver.until(1)) == 1
    assert receiver.statuses == []


async def test_what_comes_at_once_is_told_at_once(simulator: GraphSimulator, client: Graph, receiver: Receiver) -> None:
    await subscribe(client, receiver)
    for number in range(25):
        simulator.deliver(MAILBOX, message(f"m{number}", "Many", []))
    await receiver.until(25)
    assert sorted(map(len, receiver.posts)) == [5, 20]


async def test_notifications_get_lost_doubled_and_out_of_order(
    simulator: GraphSimulator, client: Graph, receiver: Receiver
) -> None:
    await subscribe(client, receiver)
    simulator.faults = Faults(lose_notification=next_calls(1), duplicate_notification=ALWAYS)
    lost = simulator.deliver(MAILBOX, message("lost", "Lost", []))
    seen = simulator.deliver(MAILBOX, message("seen", "Seen", []))
    told = await receiver.until(2)
    assert [each["resourceData"]["id"] for each in told] == [seen, seen] != [lost]
    assert simulator.world.notifier.lost == 1
    simulator.faults = Faults(delay_notification=ALWAYS, notification_delay_seconds=0.3)
    sent = [simulator.deliver(MAILBOX, message(f"m{number}", "Late", [])) for number in range(8)]
    late = [each["resourceData"]["id"] for each in await receiver.until(10)][2:]
    assert sorted(late) == sorted(sent)
    assert late != sent


async def test_the_subscriber_hears_of_a_loss(simulator: GraphSimulator, client: Graph, receiver: Receiver) -> None:
    subscription = await subscribe(client, receiver)
    simulator.faults = Faults(lose_notification=ALWAYS, missed_after_loss=ALWAYS)
    simulator.deliver(MAILBOX, message("lost", "Lost", []))
    (told,) = await receiver.until(1)
    assert (told["lifecycleEvent"], told["clientState"]) == ("missed", STATE)
    assert told["subscriptionId"] == subscription["id"]


async def test_a_subscription_is_removed_from_the_other_side(
    simulator: GraphSimulator, client: Graph, receiver: Receiver
) -> None:
    subscription = await subscribe(client, receiver)
    assert simulator.remove_subscriptions() == 1
    (told,) = await receiver.until(1)
    assert told["lifecycleEvent"] == "subscriptionRemoved"
    assert await client.error("GET", f"/subscriptions/{subscription['id']}") == (404, "ResourceNotFound")


async def test_nothing_is_told_until_it_is_reauthorised(
    simulator: GraphSimulator, client: Graph, receiver: Receiver
) -> None:
    subscription = await subscribe(client, receiver)
    simulator.demand_reauthorization(MAILBOX)
    simulator.deliver(MAILBOX, message("unheard", "Unheard", []))
    assert [each["lifecycleEvent"] for each in await receiver.until(1)] == ["reauthorizationRequired"]
    await client.call("POST", f"/subscriptions/{subscription['id']}/reauthorize")
    heard = simulator.deliver(MAILBOX, message("heard", "Heard", []))
    assert [each.get("resourceData", {}) for each in await receiver.until(2)][1]["id"] == heard


async def test_a_subscription_ends(receiver: Receiver) -> None:
    now = [datetime.now(UTC).timestamp()]
    async with GraphSimulator(tls=False, now=lambda: now[0]) as simulator, graph(simulator) as client:
        simulator.add_mailbox(MAILBOX)
        await subscribe(client, receiver)
        now[0] += 3500
        assert len(simulator.subscriptions) == 1
        now[0] += 200
        assert simulator.subscriptions == []


async def test_moves_are_told_to_those_who_want_to_know(
    simulator: GraphSimulator, client: Graph, receiver: Receiver
) -> None:
    message_id = simulator.deliver(MAILBOX, message("one", "One", []))
    await subscribe(client, receiver, changeType="created,deleted")
    simulator.move(MAILBOX, message_id, "junkemail")
    assert [each["changeType"] for each in await receiver.until(1)] == ["deleted"]
    simulator.move(MAILBOX, message_id, "inbox")
    assert [each["changeType"] for each in await receiver.until(2)] == ["deleted", "created"]
    assert (await client.get(f"{USER}/messages/{message_id}"))["id"] == message_id


async def test_a_subscription_goes_instead_of_a_notification(
    simulator: GraphSimulator, client: Graph, receiver: Receiver
) -> None:
    await subscribe(client, receiver)
    simulator.faults = Faults(remove_subscription=next_calls(1))
    simulator.deliver(MAILBOX, message("unheard", "Unheard", []))
    (told,) = await receiver.until(1)
    assert (told["lifecycleEvent"], simulator.subscriptions) == ("subscriptionRemoved", [])
