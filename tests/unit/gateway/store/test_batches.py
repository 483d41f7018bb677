"""Questions to the store go together, and each gets its own answer."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from satchel.gateway.store.batches import Batches
from satchel.gateway.store.database import Store, open_database


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(open_database(tmp_path), 2)
    yield store
    store.close()


class Doubling:
    """Answers with the double of each number, and remembers what came together; refuses negative ones."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, engine: sa.Engine, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        if min(numbers) < 0:
            raise ValueError("negative")
        return [2 * number for number in numbers]


async def test_what_is_asked_in_one_turn_goes_in_one_hop_and_each_gets_its_answer(store: Store) -> None:
    doubling = Doubling()
    batches = Batches(store, doubling)
    assert await asyncio.gather(*(batches.ask(number) for number in range(10))) == [2 * n for n in range(10)]
    assert doubling.batches == [list(range(10))]


async def test_a_question_after_the_last_hop_starts_another(store: Store) -> None:
    batches = Batches(store, Doubling())
    assert [await batches.ask(1), await batches.ask(2)] == [2, 4]


async def test_hops_are_bounded(store: Store) -> None:
    doubling = Doubling()
    batches = Batches(store, doubling)
    await asyncio.gather(*(batches.ask(number) for number in range(150)))
    assert [len(batch) for batch in doubling.batches] == [64, 64, 22]


async def test_one_who_goes_away_keeps_no_answer_from_the_others(store: Store) -> None:
    batches = Batches(store, Doubling())
    gone, stays = (asyncio.create_task(batches.ask(number)) for number in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 4
    assert gone.cancelled() or gone.cancelling()


async def test_a_failure_is_told_to_all_of_its_hop_and_to_no_other(store: Store) -> None:
    batches = Batches(store, Doubling())
    failed = await asyncio.gather(batches.ask(1), batches.ask(-1), return_exceptions=True)
    assert [type(result) for result in failed] == [ValueError, ValueError]
    assert await batches.ask(3) == 6
