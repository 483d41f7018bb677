"""Which lanes a process works on: what is asked for, what waits, what rests."""

import pytest

from satchel.gateway.store.deliveries import Lane
from satchel.gateway.webhooks.lanes import FORGET_ASKED_SECONDS, LaneSchedule

A1, A2, A3, B1 = Lane("a", "1"), Lane("a", "2"), Lane("a", "3"), Lane("b", "1")


@pytest.fixture
def schedule() -> LaneSchedule:
    return LaneSchedule(runs=3, runs_per_webhook=2)


def test_asking_twice_while_one_waits_is_asking_once(schedule: LaneSchedule) -> None:
    assert schedule.wake([A1, A1], 0) == [A1]
    assert schedule.wake([A1], 1) == []
    assert schedule.find([A1], 1) == []


def test_what_comes_while_a_run_is_under_way_has_it_run_again(schedule: LaneSchedule) -> None:
    schedule.wake([A1], 0)
    schedule.begin(A1)
    assert schedule.wake([A1], 1) == []
    assert schedule.end(A1, 2) == [A1]
    schedule.begin(A1)
    assert schedule.end(A1, 3) == []


def test_also_while_it_is_ending_with_a_rest(schedule: LaneSchedule) -> None:
    schedule.begin(A1)
    schedule.wake([A1], 1)
    assert schedule.end(A1, 2, rest_seconds=100) == [A1]
    assert schedule.next_tick() is None


def test_that_rows_wait_in_a_lane_under_way_is_nothing_new(schedule: LaneSchedule) -> None:
    schedule.begin(A1)
    assert schedule.find([A1], 1) == []
    assert schedule.end(A1, 2) == []


def test_one_webhook_has_so_many_runs_and_its_lanes_take_turns(schedule: LaneSchedule) -> None:
    assert schedule.wake([A1, A2, A3, B1], 0) == [A1, A2, B1]
    for lane in (A1, A2, B1):
        schedule.begin(lane)
    assert schedule.active_count == 3
    assert schedule.is_awaited(A1)
    assert not schedule.is_awaited(B1)
    schedule.wake([A1], 1)
    assert schedule.end(A1, 2) == [A3]
    schedule.begin(A3)
    assert schedule.end(A2, 3) == [A1]


def test_all_runs_are_awaited_where_more_are_asked_for_than_may_run(schedule: LaneSchedule) -> None:
    for lane in (A1, A2, B1):
        schedule.begin(lane)
    assert not schedule.is_awaited(B1)
    schedule.wake([Lane("c", "1")], 0)
    assert schedule.is_awaited(B1)


def test_slow_webhooks_leave_some_of_the_runs_to_others() -> None:
    schedule = LaneSchedule(runs=4, runs_per_webhook=2)
    s1, s2, t1, t2 = Lane("s", "1"), Lane("s", "2"), Lane("t", "1"), Lane("t", "2")
    for webhook_id in ("s", "t"):
        schedule.note_pace(webhook_id, is_slow=True)
    assert schedule.wake([s1, s2, t1, t2], 0) == [s1, s2, t1]
    for lane in (s1, s2, t1):
        schedule.begin(lane)
    assert schedule.wake([A1], 1) == [A1]
    schedule.begin(A1)
    assert [schedule.is_awaited(lane) for lane in (s1, t1, A1)] == [True, True, False]
    # Those that are slow take turns.
    assert schedule.end(s1, 2) == [t2]
    assert schedule.wake([s1], 2) == []
    schedule.note_pace("s", is_slow=False)
    assert schedule.wake([], 3) == [s1]


def test_those_that_turn_out_to_be_slow_give_way_though_nobody_waits(schedule: LaneSchedule) -> None:
    lanes = (A1, B1, Lane("c", "1"))
    for lane in lanes:
        schedule.begin(lane)
        schedule.note_pace(lane.webhook_id, is_slow=True)
    assert [schedule.is_awaited(lane) for lane in lanes] == [True] * 3
    assert schedule.end(A1, 1) == []
    assert [schedule.is_awaited(lane) for lane in lanes[1:]] == [False] * 2


def test_slow_webhooks_take_turns() -> None:
    schedule = LaneSchedule(runs=1, runs_per_webhook=1)
    for webhook_id in ("a", "b"):
        schedule.note_pace(webhook_id, is_slow=True)
    turns = list(schedule.wake([A1, A2, B1], 0))
    for _ in range(3):
        schedule.begin(turns[-1])
        turns += schedule.end(turns[-1], 1)
    assert turns == [A1, B1, A2]


def test_a_lane_rests_and_is_woken_by_time_or_by_what_comes(schedule: LaneSchedule) -> None:
    for lane in (A1, B1):
        schedule.begin(lane)
        assert schedule.end(lane, 0, rest_seconds=5) == []
    assert schedule.next_tick() == 5
    assert schedule.tick(4) == []
    assert schedule.wake([B1], 4) == [B1]
    assert schedule.tick(5) == [A1]
    assert schedule.next_tick() is None


def test_a_run_that_never_began_is_asked_for_again(schedule: LaneSchedule) -> None:
    assert schedule.wake([A1, A2, A3], 0) == [A1, A2]
    schedule.begin(A2)
    assert schedule.tick(FORGET_ASKED_SECONDS - 1) == []
    # The one that waited has its place, so it waits in turn.
    assert schedule.tick(FORGET_ASKED_SECONDS) == [A3]
    assert schedule.end(A2, FORGET_ASKED_SECONDS) == [A1]


def test_what_was_not_asked_for_after_all_makes_room(schedule: LaneSchedule) -> None:
    assert schedule.wake([A1, A2, A3], 0) == [A1, A2]
    assert schedule.drop([A1], 1) == [A3]
    assert schedule.wake([A1], 2) == []
    assert schedule.drop([A3], 3) == [A1]


def test_an_older_run_of_a_lane_takes_no_place_for_ever(schedule: LaneSchedule) -> None:
    """After a crash, runs begin that this process did not ask for."""
    for lane in (A1, A2, A3):
        schedule.begin(lane)
    assert schedule.wake([A1], 0) == []
    assert [schedule.end(lane, 1) for lane in (A1, A2, A3)] == [[], [A1], []]
    schedule.begin(A1)
    assert schedule.end(A1, 2) == []
    assert schedule.active_count == 0
