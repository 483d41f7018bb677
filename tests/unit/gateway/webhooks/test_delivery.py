"""Lanes at work: nothing is missed, nothing comes out of order, nobody is starved, whatever is cut off in between."""

import asyncio
import random
from dataclasses import replace

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from satchel.gateway.store.database import Store
from satchel.gateway.store.deliveries import Lane, due_lanes
from satchel.gateway.store.mailboxes import add_mailbox, mark_indexed
from satchel.gateway.store.messages import Arrival, record_arrivals
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, deliveries, delivery_attempts, delivery_lanes
from satchel.gateway.store.webhook_changes import resume_webhook, set_webhook_enabled
from satchel.gateway.webhooks import lane_run
from satchel.gateway.webhooks.decision import PAUSE_AT_ATTEMPTS, DeliveryStatus, Outcome
from satchel.gateway.webhooks.delivery import Bounds
from tests.unit.gateway.fakes import MAILBOX, OTHER_MAILBOX, ref, summary
from tests.unit.gateway.store.lane import add_hook, arrive, set_webhook
from tests.unit.gateway.webhooks.crew import AT_ONCE, SUCCESS, Crew, until

FAILURE = Outcome(503)


@pytest.fixture
def crew(store: Store) -> Crew:
    return Crew(store)


def statuses(engine: sa.Engine) -> list[str]:
    query = sa.select(deliveries.c.status).order_by(deliveries.c.message_row_id, deliveries.c.webhook_id)
    with engine.connect() as connection:
        return list(connection.scalars(query))


def are_done(engine: sa.Engine) -> bool:
    return "pending" not in statuses(engine)


def is_quiet(engine: sa.Engine) -> bool:
    """Whether nobody has to look at any lane."""
    return due_lanes(engine, None) == []


async def test_what_arrives_is_delivered_in_order(engine: sa.Engine, crew: Crew) -> None:
    add_hook(engine)
    async with crew.at_work(looks=False) as at_work:
        await at_work.wake(arrive(engine, "a", "b"))
        await at_work.wake(arrive(engine, "c"))
        await until(lambda: is_quiet(engine))
    assert crew.receiver.message_ids == ["a", "b", "c"]
    assert crew.receiver.most_under_way == 1
    assert crew.became == [DeliveryStatus.DELIVERED] * 3


async def test_a_run_is_asked_for_once_however_often_it_is_woken(engine: sa.Engine, crew: Crew) -> None:
    add_hook(engine)
    crew.receiver.free.clear()
    async with crew.at_work(looks=False) as at_work:
        lanes = arrive(engine, "a")
        for _ in range(9):
            await at_work.wake(lanes)
        await until(lambda: crew.receiver.under_way == 1)
        assert at_work.active_lanes == 1
        crew.receiver.free.set()
        await until(lambda: crew.queue.is_idle)
        assert at_work.active_lanes == 0
    # Once more, since it was woken while it ran; that run finds nothing and is not even asked for.
    assert len(crew.queue.asked) == 1


async def test_what_comes_while_a_run_is_under_way_is_delivered_by_it(engine: sa.Engine, crew: Crew) -> None:
    add_hook(engine)
    crew.receiver.free.clear()
    async with crew.at_work(looks=False) as at_work:
        await at_work.wake(arrive(engine, "a"))
        await until(lambda: crew.receiver.under_way == 1)
        # Nobody is told of it.
        arrive(engine, "b")
        crew.receiver.free.set()
        await until(lambda: is_quiet(engine))
    assert crew.receiver.message_ids == ["a", "b"]


async def test_what_nobody_was_woken_for_is_found(engine: sa.Engine, crew: Crew) -> None:
    """A crash between the row and the wake-up, or a command beside the gateway."""
    add_hook(engine)
    arrive(engine, "a")
    async with crew.at_work():
        await until(lambda: statuses(engine) == ["delivered"])
        arrive(engine, "b")
        await until(lambda: statuses(engine) == ["delivered", "delivered"])
    assert crew.receiver.message_ids == ["a", "b"]


async def test_a_crash_in_mid_attempt(engine: sa.Engine, crew: Crew) -> None:
    add_hook(engine)
    crew.receiver.free.clear()
    async with crew.at_work(looks=False) as at_work:
        await at_work.wake(arrive(engine, "a", "b"))
        await until(lambda: crew.receiver.under_way == 1)
    crew.receiver.free.set()
    async with crew.at_work():
        await until(lambda: is_quiet(engine))
    assert crew.receiver.message_ids == ["a", "a", "b"]
    assert len({(post.webhook_id, post.body) for post in crew.receiver.posts}) == 2
    with engine.connect() as connection:
        errors = connection.scalars(sa.select(delivery_attempts.c.error)).all()
        assert sorted(map(str, errors)) == ["None", "None", "interrupted"]
        assert set(connection.scalars(sa.select(deliveries.c.attempts))) == {1}


async def test_a_queue_that_has_lost_everything(engine: sa.Engine, crew: Crew) -> None:
    """Its database need not survive a power cut: the rows are the truth."""
    add_hook(engine)
    crew.receiver.free.clear()
    async with crew.at_work(looks=False) as at_work:
        await at_work.wake(arrive(engine, "a"))
        await until(lambda: crew.receiver.under_way == 1)
    crew.queue.known.clear()
    crew.receiver.free.set()
    async with crew.at_work():
        await until(lambda: is_quiet(engine))
    assert statuses(engine) == ["delivered"]


async def test_an_older_run_that_comes_again_does_nothing(engine: sa.Engine, crew: Crew) -> None:
    """A crash between the end of a run in the rows and in the queue."""
    add_hook(engine)
    async with crew.at_work(looks=False) as at_work:
        (lane,) = arrive(engine, "a")
        await at_work.wake([lane])
        await until(lambda: is_quiet(engine) and crew.queue.is_idle)
        arrive(engine, "b")
        crew.queue.known["again"] = (lane.webhook_id, lane.mailbox_id, 1)
        crew.queue.launch()
        await until(lambda: crew.queue.is_idle)
        assert statuses(engine) == ["delivered", "pending"]
        await at_work.wake([lane])
        await until(lambda: is_quiet(engine))
    assert crew.receiver.message_ids == ["a", "b"]


async def test_an_older_run_waits_for_the_one_that_is_under_way(engine: sa.Engine, crew: Crew) -> None:
    """Else its end would be taken for the other's."""
    add_hook(engine)
    crew.receiver.free.clear()
    async with crew.at_work(looks=False) as at_work:
        (lane,) = arrive(engine, "a")
        await at_work.wake([lane])
        await until(lambda: crew.receiver.under_way == 1)
        older = asyncio.create_task(at_work.run_lane(lane.webhook_id, lane.mailbox_id, 0))
        await asyncio.wait({older}, timeout=0.2)
        assert at_work.active_lanes == 1
        crew.receiver.free.set()
        await older
    assert crew.receiver.message_ids == ["a"]


async def test_failures_are_tried_again_in_their_place(engine: sa.Engine, crew: Crew) -> None:
    add_hook(engine)
    crew.receiver.answer = lambda post: FAILURE if crew.receiver.message_ids.count(post.message_id) < 3 else SUCCESS
    async with crew.at_work() as at_work:
        await at_work.wake(arrive(engine, "a", "b"))
        await until(lambda: is_quiet(engine))
    assert crew.receiver.message_ids == ["a"] * 3 + ["b"] * 3
    assert statuses(engine) == ["delivered"] * 2


async def test_a_receiver_that_fails_for_good_does_not_keep_the_next_from_it(engine: sa.Engine, crew: Crew) -> None:
    add_hook(engine)
    crew.receiver.answer = lambda post: FAILURE if post.message_id == "a" else SUCCESS
    async with crew.at_work() as at_work:
        await at_work.wake(arrive(engine, "a", "b"))
        await until(lambda: is_quiet(engine))
    assert crew.receiver.message_ids == ["a", "a", "a", "b"]
    assert statuses(engine) == ["failed", "delivered"]


async def test_a_defect_ends_as_a_failed_attempt(engine: sa.Engine, crew: Crew) -> None:
    add_hook(engine)
    crew.receiver.answer = lambda post: RuntimeError("a secret name") if post.message_id == "a" else SUCCESS
    async with crew.at_work() as at_work:
        await at_work.wake(arrive(engine, "a", "b"))
        await until(lambda: is_quiet(engine))
    assert statuses(engine) == ["failed", "delivered"]


async def test_two_webhooks_of_one_mailbox_go_their_own_ways(engine: sa.Engine, crew: Crew) -> None:
    add_hook(engine, url="https://slow.example.com/")
    add_hook(engine, name="quick", url="https://quick.example.com/")
    crew.receiver.answer = lambda post: FAILURE if "slow" in post.url else SUCCESS
    async with crew.at_work() as at_work:
        await at_work.wake(arrive(engine, "a", "b"))
        await until(lambda: is_quiet(engine))
    assert [post.message_id for post in crew.receiver.posts if "quick" in post.url] == ["a", "b"]
    assert sorted(statuses(engine)) == ["delivered", "delivered", "failed", "failed"]
    assert len({post.webhook_id for post in crew.receiver.posts}) == 4


def arrive_in(engine: sa.Engine, mailbox: str, *message_ids: str) -> frozenset[Lane]:
    refs = [ref(message_id, mailbox) for message_id in message_ids]
    return record_arrivals(engine, DEFAULT_ACCOUNT_ID, [Arrival(one, summary(one)) for one in refs])


async def test_a_webhook_has_so_many_under_way_over_its_mailboxes(engine: sa.Engine, crew: Crew) -> None:
    mailboxes = [f"m{number}@example.test" for number in range(6)]
    for mailbox in mailboxes:
        add_mailbox(engine, mailbox)
    add_hook(engine, mailboxes=mailboxes)
    crew.receiver.free.clear()
    async with crew.at_work() as at_work:
        for mailbox in mailboxes:
            await at_work.wake(arrive_in(engine, mailbox, f"a-{mailbox}", f"b-{mailbox}"))
        await until(lambda: crew.receiver.under_way == crew.bounds.per_webhook)
        crew.receiver.free.set()
        await until(lambda: is_quiet(engine))
    assert crew.receiver.most_under_way == crew.bounds.per_webhook
    assert len(crew.receiver.posts) == 12


@pytest.mark.parametrize("max_in_flight", [2, 4, 9])
async def test_several_of_one_lane_under_way(engine: sa.Engine, crew: Crew, max_in_flight: int) -> None:
    add_hook(engine, max_in_flight=max_in_flight)
    names = [f"m{number}" for number in range(12)]
    expected = min(max_in_flight, crew.bounds.per_webhook)
    crew.receiver.free.clear()
    async with crew.at_work() as at_work:
        await at_work.wake(arrive(engine, *names))
        await until(lambda: crew.receiver.under_way == expected)
        crew.receiver.free.set()
        await until(lambda: is_quiet(engine))
    assert sorted(crew.receiver.message_ids) == sorted(names)
    assert crew.receiver.most_under_way == expected


async def test_what_comes_while_one_hangs_begins_where_there_is_room(
    engine: sa.Engine, crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_run, "_LOOK_SECONDS", 0.01)
    add_hook(engine, max_in_flight=2)
    crew.receiver.free.clear()
    async with crew.at_work(looks=False) as at_work:
        await at_work.wake(arrive(engine, "a"))
        await until(lambda: crew.receiver.message_ids == ["a"])
        await at_work.wake(arrive(engine, "b"))
        await until(lambda: crew.receiver.under_way == 2)
    assert crew.receiver.message_ids == ["a", "b"]


async def test_room_that_a_lane_has_no_use_for_is_left_to_others(engine: sa.Engine, store: Store) -> None:
    crew = Crew(store, bounds=Bounds(in_all=2, per_webhook=2))
    for mailbox in (MAILBOX, OTHER_MAILBOX):
        add_mailbox(engine, mailbox)
    add_hook(engine, mailboxes=[MAILBOX, OTHER_MAILBOX], max_in_flight=2)
    crew.receiver.free.clear()
    async with crew.at_work(looks=False) as at_work:
        await at_work.wake(arrive(engine, "a"))
        await until(lambda: crew.receiver.message_ids == ["a"])
        await at_work.wake(arrive_in(engine, OTHER_MAILBOX, "b"))
        await until(lambda: crew.receiver.under_way == 2)
    assert crew.receiver.message_ids == ["a", "b"]


async def test_webhooks_that_hang_leave_places_to_one_that_does_not(
    engine: sa.Engine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("satchel.gateway.webhooks.delivery.GIVE_WAY_SECONDS", 0.0)
    crew = Crew(store, bounds=Bounds(in_all=4, per_webhook=4))
    for number in range(6):
        add_hook(engine, name=f"slow-{number}", url=f"https://slow-{number}.example.com/")
    async with crew.at_work() as at_work:
        await at_work.wake(arrive(engine, "a"))
        await until(lambda: is_quiet(engine))
        # Nobody is quicker than that.
        monkeypatch.setattr("satchel.gateway.webhooks.delivery.GIVE_WAY_SECONDS", 60.0)
        crew.receiver.hangs = lambda post: "slow" in post.url
        add_hook(engine, name="quick", url="https://quick.example.com/")
        await at_work.wake(arrive(engine, "b"))
        await until(lambda: any("quick" in post.url for post in crew.receiver.posts))
        await until(lambda: crew.receiver.under_way == 3)
        await at_work.wake(arrive(engine, "c"))
        await until(lambda: [post.message_id for post in crew.receiver.posts if "quick" in post.url] == ["b", "c"])
        assert crew.receiver.under_way == 3


async def test_a_lane_gives_way_to_others_after_a_while(
    engine: sa.Engine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("satchel.gateway.webhooks.delivery.GIVE_WAY_SECONDS", 0.0)
    crew = Crew(store, bounds=Bounds(in_all=1, per_webhook=1))
    for mailbox in (MAILBOX, OTHER_MAILBOX):
        add_mailbox(engine, mailbox)
    mark_indexed(engine, DEFAULT_ACCOUNT_ID, None)
    add_hook(engine, mailboxes=[MAILBOX, OTHER_MAILBOX])
    crew.receiver.free.clear()
    async with crew.at_work() as at_work:
        await at_work.wake(arrive(engine, *(f"a{number}" for number in range(5))))
        await at_work.wake(arrive_in(engine, OTHER_MAILBOX, *(f"b{number}" for number in range(5))))
        crew.receiver.free.set()
        await until(lambda: is_quiet(engine))
    order = crew.receiver.message_ids
    assert order.index("b0") < order.index("a4")
    assert [name for name in order if name[0] == "a"] == [f"a{number}" for number in range(5)]
    assert [name for name in order if name[0] == "b"] == [f"b{number}" for number in range(5)]


async def test_a_paused_webhook_is_left_alone_until_it_is_resumed(engine: sa.Engine, crew: Crew) -> None:
    add_hook(engine)
    set_webhook(engine, paused_at=sa.func.now())
    async with crew.at_work() as at_work:
        await at_work.wake(arrive(engine, "a", "b"))
        assert (crew.queue.asked, crew.receiver.posts) == ([], [])
        set_webhook(engine, paused_at=None)
        await until(lambda: is_quiet(engine))
    assert crew.receiver.message_ids == ["a", "b"]


async def test_a_webhook_that_fails_for_long_keeps_what_is_for_it_until_it_is_resumed(
    engine: sa.Engine, store: Store
) -> None:
    crew = Crew(store, policy=replace(AT_ONCE, pause_after_seconds=1e-9))
    hook = add_hook(engine)
    names = [f"m{number:02}" for number in range(PAUSE_AT_ATTEMPTS + 3)]
    crew.receiver.answer = lambda _: Outcome(404)
    with capture_logs() as logs:
        async with crew.at_work() as at_work:
            await at_work.wake(arrive(engine, *names))
            await until(lambda: crew.queue.is_idle)
            assert crew.receiver.message_ids == names[:PAUSE_AT_ATTEMPTS]
            assert statuses(engine) == ["rejected"] * PAUSE_AT_ATTEMPTS + ["pending"] * 3
            crew.receiver.answer = lambda _: SUCCESS
            resume_webhook(engine, "w")
            await until(lambda: is_quiet(engine))
    assert crew.receiver.message_ids == names
    assert [entry["webhook_id"] for entry in logs if entry["event"] == "webhook_paused"] == [hook.webhook_id]


async def test_a_webhook_that_goes_off_meanwhile(engine: sa.Engine, crew: Crew) -> None:
    add_hook(engine)
    crew.receiver.free.clear()
    async with crew.at_work() as at_work:
        await at_work.wake(arrive(engine, "a", "b"))
        await until(lambda: crew.receiver.under_way == 1)
        set_webhook_enabled(engine, "w", enabled=False)
        crew.receiver.free.set()
        await until(lambda: crew.queue.is_idle)
    assert crew.receiver.message_ids == ["a"]
    assert statuses(engine) == ["delivered", "cancelled"]


async def test_a_stop_lets_what_is_under_way_end_and_begins_nothing(engine: sa.Engine, crew: Crew) -> None:
    add_hook(engine)
    crew.receiver.free.clear()
    async with crew.at_work() as at_work:
        await at_work.wake(arrive(engine, "a", "b"))
        await until(lambda: crew.receiver.under_way == 1)
        at_work.stop()
        crew.receiver.free.set()
        await until(lambda: crew.queue.is_idle)
        assert statuses(engine) == ["delivered", "pending"]
    async with crew.at_work():
        await until(lambda: is_quiet(engine))
    assert crew.receiver.message_ids == ["a", "b"]


async def test_trouble_of_the_database_forgets_no_outcome(
    engine: sa.Engine, crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_run, "_TROUBLE_PAUSE_SECONDS", 0.0)
    add_hook(engine)
    trouble = [3]

    def refuse(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("UPDATE delivery_attempts") and "status_code" in statement and trouble[0]:
            trouble[0] -= 1
            raise sa.exc.OperationalError(statement, None, OSError("disk full"))

    sa.event.listen(engine, "before_cursor_execute", refuse)
    async with crew.at_work() as at_work:
        await at_work.wake(arrive(engine, "a"))
        await until(lambda: is_quiet(engine))
    assert trouble == [0]
    assert crew.receiver.message_ids == ["a"]


async def test_trouble_of_the_queue_is_made_up_for(engine: sa.Engine, crew: Crew) -> None:
    add_hook(engine)
    async with crew.at_work() as at_work:
        crew.queue.error = OSError("disk full")
        await at_work.wake(arrive(engine, "a"))
        assert crew.queue.asked == []
        crew.queue.error = None
        await until(lambda: is_quiet(engine))
    assert crew.receiver.message_ids == ["a"]


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_each_is_delivered_and_in_order(engine: sa.Engine, store: Store, seed: int) -> None:
    """Arrivals that somebody is told of or not, failures, kills at any moment, a queue that forgets."""
    chance = random.Random(seed)
    crew = Crew(store)
    add_hook(engine)
    add_hook(engine, name="other", url="https://other.example.com/")
    crew.receiver.answer = lambda _: FAILURE if chance.random() < 0.1 else SUCCESS
    number = 0
    for _ in range(6):
        async with crew.at_work(looks=chance.random() < 0.8) as at_work:
            for _ in range(chance.randrange(4)):
                count = chance.randrange(1, 4)
                lanes = arrive(engine, *(f"m{number + each:03}" for each in range(count)))
                number += count
                if chance.random() < 0.6:
                    await at_work.wake(lanes)
                posts = len(crew.receiver.posts) + chance.randrange(4)
                if chance.random() < 0.7 and not are_done(engine):
                    await until_or_quiet(engine, crew, posts)
        if chance.random() < 0.3:
            crew.queue.known.clear()
    async with crew.at_work():
        await until(lambda: is_quiet(engine))
    assert are_done(engine)
    for url in ("https://example.com/hook", "https://other.example.com/"):
        posts = [post for post in crew.receiver.posts if post.url == url]
        firsts = list(dict.fromkeys(post.message_id for post in posts))
        assert firsts == [f"m{each:03}" for each in range(number)]
        assert len({(post.webhook_id, post.body) for post in posts}) == number
    with engine.connect() as connection:
        recorded = connection.scalar(sa.select(sa.func.count()).select_from(delivery_attempts))
        due = connection.scalars(sa.select(delivery_lanes.c.due_at)).all()
    # A kill may come between the row and the POST, but never the other way round.
    assert (recorded or 0) >= len(crew.receiver.posts)
    assert due == [None, None]


async def until_or_quiet(engine: sa.Engine, crew: Crew, posts: int) -> None:
    """Until there were so many POSTs, or nobody is left to make them."""
    await until(lambda: len(crew.receiver.posts) >= posts or crew.queue.is_idle)
