"""What a run of a lane writes down: attempts before and after their POST, the end of the run, and pauses."""

import sqlite3
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from satchel.gateway.sealing import MasterKey
from satchel.gateway.store.attempts import BegunAttempt, Ended, Question, advance_all, postpone, take_up
from satchel.gateway.store.audit import list_events
from satchel.gateway.store.deliveries import count_waiting, make_pending
from satchel.gateway.store.pauses import resume
from satchel.gateway.store.tables import deliveries, delivery_lanes, webhooks
from satchel.gateway.store.webhook_changes import remove_webhook, set_webhook_enabled
from satchel.gateway.store.webhooks import list_webhooks
from satchel.gateway.webhooks.decision import PAUSE_AT_ATTEMPTS, Decision, DeliveryStatus, Outcome
from satchel.gateway.webhooks.schedule import Schedule
from tests.unit.gateway.fakes import MAILBOX
from tests.unit.gateway.store.lane import (
    SECRET,
    SUCCESS,
    TIMEOUT,
    Finished,
    OneLane,
    arrive,
    delivered,
    delivery_policy,
    failed,
    make_lane,
    retried,
    rows_of,
    set_webhook,
)


def test_the_attempt_is_written_down_first(engine: sa.Engine) -> None:
    lane = make_lane(engine, "m")
    begun = lane.begin()
    assert (begun.url, begun.mailbox, begun.secrets) == ("https://example.com/hook", MAILBOX, (SECRET,))
    assert (begun.delivery_id, begun.number, begun.attempt) == (lane.id_of("m"), 1, 1)
    assert lane.attempts("finished_at") == [(1, None, None, None)]
    assert lane.statuses() == ["pending"]


def test_what_has_ended_is_written_down_with_what_begins(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b")
    second = lane.begin(delivered(lane.begin()))
    assert second.delivery_id == lane.id_of("b")
    assert lane.statuses() == ["delivered", "pending"]
    assert lane.ends(delivered(second)) == Ended(None)
    assert lane.statuses() == ["delivered", "delivered"]
    answers = rows_of(engine, deliveries, "attempts", "next_attempt_at", "last_status_code", "last_answer")
    assert answers == [(1, None, 200, '{"status": "success"}')] * 2


def test_a_second_attempt_keeps_its_place(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b")
    assert lane.ends(retried(lane.begin(), 5)) == Ended(lane.now + timedelta(seconds=5))
    assert not lane.is_due
    arrive(engine, "c")
    assert lane.ends() == Ended(lane.now + timedelta(seconds=5))
    lane.pass_seconds(5)
    assert lane.is_due
    again = lane.begin()
    assert (again.delivery_id, again.number, again.attempt) == (lane.id_of("a"), 2, 2)
    assert lane.begin(delivered(again)).delivery_id == lane.id_of("b")
    assert {(1, 500, "http_500"), (2, 200, None)} < {*lane.attempts()}


def test_a_fourth_attempt_is_passed_by_others_and_comes_in_its_time(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b", schedule=Schedule.LONG)
    begun = lane.begin()
    for _ in range(2):
        lane.ends(retried(begun, 5))
        lane.pass_seconds(5)
        begun = lane.begin()
    passing = lane.begin(retried(begun, 300))
    assert (begun.attempt, passing.delivery_id) == (3, lane.id_of("b"))
    assert lane.ends(delivered(passing)) == Ended(lane.now + timedelta(seconds=300))
    arrive(engine, "c")
    lane.pass_seconds(300)
    fourth = lane.begin()
    assert (fourth.delivery_id, fourth.attempt) == (lane.id_of("a"), 4)


def test_so_many_at_once_as_the_webhook_takes(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b", "c", max_in_flight=2)
    first = lane.begin()
    second = lane.begin(busy=[first])
    assert [each.delivery_id for each in (first, second)] == [lane.id_of("a"), lane.id_of("b")]
    assert lane.ask(busy=[first, second]).step is None
    third = lane.begin(delivered(second), busy=[first])
    assert third.delivery_id == lane.id_of("c")
    assert lane.ask(delivered(first), busy=[third]).step is None
    assert lane.ends(delivered(third)) == Ended(None)


def test_an_interrupted_attempt_does_not_count(engine: sa.Engine) -> None:
    lane = make_lane(engine, "m")
    lane.begin()
    begun = lane.begin()
    assert (begun.number, begun.attempt) == (2, 1)
    assert lane.attempts() == [(1, None, "interrupted"), (2, None, None)]


def test_no_two_runs_work_on_a_lane(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b")
    begun, run = lane.begin(), lane.run
    with engine.begin() as connection:
        connection.execute(sa.update(delivery_lanes).values(run=run + 1))
    assert lane.ask(delivered(begun), run=run).step == Ended(None)
    assert lane.statuses() == ["delivered", "pending"]
    assert lane.run == run + 1
    assert take_up(engine, lane.lane, run, lane.id_of("b"), lane.policy) is None


def test_a_run_that_ended_never_comes_again(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a")
    run = lane.run
    lane.ends(delivered(lane.begin()))
    arrive(engine, "b")
    assert lane.run == run + 1
    assert lane.ask(run=run).step == Ended(None)
    assert lane.is_due
    assert lane.begin().delivery_id == lane.id_of("b")


def test_what_comes_while_a_run_is_ending_is_seen_by_it_or_wakes_the_next(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a")
    begun = lane.begin()
    arrive(engine, "b")
    second = lane.begin(delivered(begun))
    assert second.delivery_id == lane.id_of("b")
    lane.ends(delivered(second))
    assert not lane.is_to_begin
    arrive(engine, "c")
    assert lane.is_to_begin
    assert lane.is_due


def test_nobody_writes_between_a_runs_last_look_and_its_end(engine: sa.Engine) -> None:
    """Else what arrives in between would be seen by nobody."""
    lane = make_lane(engine, "a")
    lane.ends(delivered(lane.begin()))
    refused: list[str] = []

    def interfere(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("SELECT deliveries.id"):
            with sqlite3.connect(str(engine.url.database), timeout=0) as other, pytest.raises(sqlite3.Error) as error:
                other.execute("BEGIN IMMEDIATE")
            refused.append(str(error.value))

    sa.event.listen(engine, "after_cursor_execute", interfere)
    lane.ends()
    assert refused == ["database is locked"]


def test_a_run_that_gives_way_begins_nothing_more(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b", max_in_flight=2)
    first, run = lane.begin(), lane.run
    assert lane.ask(busy=[first], gives_way=True).step is None
    assert lane.ask(delivered(first), gives_way=True).step == Ended(lane.now)
    assert (lane.run, lane.is_due) == (run + 1, True)


@pytest.mark.parametrize("how", ["disable", "remove", "by hand"])
def test_what_waits_for_a_webhook_that_is_off_is_cancelled(engine: sa.Engine, how: str) -> None:
    lane = make_lane(engine, "a", "b")
    begun = lane.begin()
    if how == "disable":
        assert not set_webhook_enabled(engine, "w", enabled=False).enabled
    elif how == "remove":
        remove_webhook(engine, "w")
    else:
        set_webhook(engine, enabled=False)
    assert lane.is_to_begin
    assert lane.ends(retried(begun)) == Ended(None)
    assert lane.statuses() == ["cancelled", "cancelled"]
    assert lane.attempts() == [(1, 500, "http_500")]
    assert not lane.is_to_begin


def test_what_was_under_way_when_the_webhook_went_off_is_told_as_it_ended(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b")
    begun = lane.begin()
    set_webhook_enabled(engine, "w", enabled=False)
    lane.ends(delivered(begun))
    assert lane.statuses() == ["delivered", "cancelled"]


def test_what_was_cancelled_while_it_was_under_way_is_not_tried_again(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b")
    begun = lane.begin()
    with engine.begin() as connection:
        connection.execute(sa.update(deliveries).values(status="cancelled").where(deliveries.c.id == begun.delivery_id))
    assert lane.begin(retried(begun)).delivery_id == lane.id_of("b")
    assert lane.statuses() == ["cancelled", "pending"]


@pytest.mark.parametrize(
    ("end", "status", "attempts"), [(failed, "pending", 0), (retried, "pending", 0), (delivered, "delivered", 2)]
)
def test_what_is_sent_again_while_it_is_under_way_has_its_attempts_before_it(
    engine: sa.Engine, end: Callable[[BegunAttempt], Finished], status: str, attempts: int
) -> None:
    lane = make_lane(engine, "a")
    begun = lane.begin(retried(lane.begin(), 0))
    with engine.begin() as connection:
        make_pending(connection, [begun.delivery_id], lane.now)
    lane.ask(end(begun), gives_way=True)
    assert rows_of(engine, deliveries, "status", "attempts") == [(status, attempts)]
    assert lane.is_due or status == "delivered"


def test_secrets_are_not_shown_by_chance(engine: sa.Engine) -> None:
    begun = make_lane(engine, "a").begin()
    assert begun.secrets[0] not in repr(begun)


def test_what_rests_when_its_webhook_is_paused_goes_on_when_it_is_resumed(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", schedule=Schedule.LONG)
    lane.ends(retried(lane.begin(), 300))
    set_webhook(engine, paused_at=lane.now)
    with engine.begin() as connection:
        resume(connection, lane.hook.webhook_id, "cli:0", lane.now)
    assert lane.is_due
    assert lane.begin().attempt == 2


def test_a_webhook_that_is_off_is_looked_at_before_its_pause_is_over(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a")
    lane.ends(retried(lane.begin(), 300))
    assert not lane.is_due
    set_webhook(engine, enabled=False)
    assert lane.is_due


def test_a_paused_webhook_keeps_what_waits_and_goes_on_in_order(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b")
    lane.ends(retried(lane.begin(), 300))
    set_webhook(engine, paused_at=lane.now)
    assert isinstance(lane.ask().step, Ended)
    assert not lane.is_due
    assert not lane.is_to_begin
    arrive(engine, "c")
    assert not lane.is_due
    assert count_waiting(engine).paused_webhooks == 1
    with engine.begin() as connection:
        assert resume(connection, lane.hook.webhook_id, "cli:0", lane.now)
    assert lane.is_due
    for message_id in ("a", "b", "c"):
        begun = lane.begin()
        assert begun.delivery_id == lane.id_of(message_id)
        lane.ask(delivered(begun), gives_way=True)
    assert lane.statuses() == ["delivered"] * 3


def fail_for_a_day(lane: OneLane, attempts: int = PAUSE_AT_ATTEMPTS, outcome: Outcome = TIMEOUT) -> bool:
    for number in range(attempts):
        begun = lane.begin()
        if number == attempts - 1:
            lane.pass_seconds(86_400)
        if lane.ask(failed(begun, outcome), gives_way=True).has_paused:
            return True
    return False


@pytest.mark.parametrize("outcome", [TIMEOUT, Outcome(500), Outcome(404), Outcome(201), Outcome(302)])
def test_a_webhook_that_fails_for_long_is_paused_with_a_note(engine: sa.Engine, outcome: Outcome) -> None:
    lane = make_lane(engine, *(f"m{number}" for number in range(12)))
    assert fail_for_a_day(lane, outcome=outcome)
    (hook,) = list_webhooks(engine)
    assert (hook.failed_attempts, hook.paused_at) == (PAUSE_AT_ATTEMPTS, lane.now)
    assert "answered with 200" in (hook.pause_note or "")
    (event,) = list_events(engine, action="webhook.paused")
    assert (event.actor, event.subject_id) == ("gateway", hook.webhook_id)
    assert lane.statuses() == ["failed"] * 10 + ["pending"] * 2
    assert not lane.is_to_begin


def test_too_few_attempts_pause_nothing(engine: sa.Engine) -> None:
    assert not fail_for_a_day(make_lane(engine, *(f"m{number}" for number in range(12))), PAUSE_AT_ATTEMPTS - 1)


def test_nothing_is_paused_where_the_settings_say_never(engine: sa.Engine) -> None:
    lane = make_lane(engine, *(f"m{number}" for number in range(12)))
    lane.policy = delivery_policy(pause_after_seconds=0)
    assert not fail_for_a_day(lane)


def test_any_answer_of_200_is_a_sign_of_life(engine: sa.Engine) -> None:
    lane = make_lane(engine, *(f"m{number}" for number in range(12)))
    for _ in range(PAUSE_AT_ATTEMPTS - 1):
        lane.ask(failed(lane.begin()), gives_way=True)
    assert rows_of(engine, webhooks, "failed_attempts", "failing_since") == [(PAUSE_AT_ATTEMPTS - 1, lane.now)]
    lane.pass_seconds(86_400)
    refused = Finished(lane.begin(), Outcome(200, b"no"), Decision(DeliveryStatus.REJECTED, "not_an_answer"))
    assert not lane.ask(refused, gives_way=True).has_paused
    assert rows_of(engine, webhooks, "failed_attempts", "failing_since") == [(0, None)]


def test_both_secrets_sign_while_one_is_being_changed(engine: sa.Engine) -> None:
    lane = make_lane(engine, "m")
    key = lane.policy.master_key
    assert key is not None
    set_webhook(engine, sealed_next_secret=key.seal("the next one", lane.hook.webhook_id))
    assert lane.begin().secrets == (SECRET, "the next one")


def test_without_a_secret_nothing_has_to_open(engine: sa.Engine) -> None:
    lane = make_lane(engine, "m", secret=None)
    lane.policy = delivery_policy(master_key=None)
    assert lane.begin().secrets == ()


@pytest.mark.parametrize("key", [None, MasterKey([b"\1" * 32])])
@pytest.mark.parametrize("include_text", [False, True])
def test_a_secret_that_does_not_open_pauses_and_nothing_is_sent(
    engine: sa.Engine, key: MasterKey | None, include_text: bool
) -> None:
    lane = make_lane(engine, "m", include_text=include_text)
    lane.policy = delivery_policy(master_key=key)
    answer = lane.ask()
    assert (isinstance(answer.step, Ended), answer.has_paused) == (True, True)
    (hook,) = list_webhooks(engine)
    assert "SATCHEL_MASTER_KEY" in (hook.pause_note or "")
    assert (lane.attempts(), lane.statuses()) == ([], ["pending"])
    assert len(list_events(engine, action="webhook.paused")) == 1


def test_the_text_is_asked_for_before_the_attempt_begins(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b", include_text=True)
    wanted = lane.wants_text()
    assert (wanted.delivery_id, wanted.message.mailbox, wanted.message.message_id) == (lane.id_of("a"), MAILBOX, "a")
    assert lane.attempts() == []
    begun = take_up(engine, lane.lane, lane.run, wanted.delivery_id, lane.policy)
    assert begun is not None
    assert (begun.attempt, lane.attempts()) == (1, [(1, None, None)])
    assert lane.wants_text(delivered(begun)).delivery_id == lane.id_of("b")


def test_one_that_waits_for_its_text_keeps_its_place_and_counts_nothing(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b", include_text=True)
    wanted = lane.wants_text()
    since, until = lane.now, lane.now + timedelta(seconds=20)
    postpone(engine, wanted.delivery_id, until, since)
    assert lane.ends() == Ended(until)
    lane.pass_seconds(20)
    wanted = lane.wants_text()
    assert (wanted.delivery_id, wanted.missing_since) == (lane.id_of("a"), since)
    assert lane.attempts() == []


@pytest.mark.parametrize("how", ["off", "paused", "cancelled"])
def test_what_is_not_to_be_sent_any_more_is_not_taken_up(engine: sa.Engine, how: str) -> None:
    lane = make_lane(engine, "m", include_text=True)
    wanted = lane.wants_text()
    if how == "off":
        set_webhook_enabled(engine, "w", enabled=False)
    elif how == "paused":
        set_webhook(engine, paused_at=lane.now)
    else:
        with engine.begin() as connection:
            connection.execute(sa.update(deliveries).values(status="cancelled"))
    assert take_up(engine, lane.lane, lane.run, wanted.delivery_id, lane.policy) is None
    assert lane.attempts() == []


def test_custom_fields_go_where_the_webhook_wants_them(engine: sa.Engine) -> None:
    lane = make_lane(engine, "m")
    with engine.begin() as connection:
        connection.execute(sa.update(deliveries).values(custom_fields={"team": "AP"}))
    assert lane.begin().custom_fields == {"team": "AP"}
    set_webhook(engine, include_custom_fields=False)
    assert lane.begin().custom_fields is None


def test_a_clock_that_was_put_back_keeps_nothing_waiting(engine: sa.Engine) -> None:
    lane = make_lane(engine, "a", "b", schedule=Schedule.LONG)
    lane.ends(retried(lane.begin(), 5))
    lane.pass_seconds(-86_400)
    begun = lane.begin()
    assert begun.attempt == 2
    with engine.begin() as connection:
        connection.execute(sa.update(deliveries).values(attempts=5))
    lane.pass_seconds(-86_400)
    assert lane.begin().attempt == 6


def test_one_that_cannot_be_answered_spoils_nothing_for_the_others(engine: sa.Engine) -> None:
    lane = make_lane(engine, "m")
    broken = Question(lane.lane, lane.run, finished=[None])  # type: ignore[list-item]
    answers = advance_all(engine, lane.policy, [broken, Question(lane.lane, lane.run)])
    assert isinstance(answers[0], AttributeError)
    assert not isinstance(answers[1], Exception)
    assert lane.attempts() == [(1, None, None)]


def test_an_answer_is_kept_short(engine: sa.Engine) -> None:
    lane = make_lane(engine, "m")
    long = Finished(lane.begin(), Outcome(200, SUCCESS.answer + b" " * 5000), Decision(DeliveryStatus.DELIVERED))
    lane.ends(long)
    assert {len(str(answer)) for (answer,) in rows_of(engine, deliveries, "last_answer")} == {2048}
