"""Cycles are looked for seldom, and found."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from satchel.process.garbage import look_for_garbage_seldom


class Node:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_what_is_there_at_the_start_is_not_looked_at_again() -> None:
    look_for_garbage_seldom()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold()[0] > 10_000


def test_garbage_in_cycles_is_still_found() -> None:
    look_for_garbage_seldom()
    lost = weakref.ref(Node())
    kept: list[list[object]] = [[] for _ in range(100_000)]
    assert lost() is None
    assert len(kept) == 100_000
