"""What a window in memory remembers, and forgets."""

from satchel.gateway.limits.windows import InstantStorage, MemoryWindow


class Clock:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


async def test_idle_names_are_forgotten() -> None:
    clock = Clock()
    storage = InstantStorage(clock, 1000)
    for number in range(100):
        assert await storage.acquire_entry(str(number), 1, 60)
    clock.now += 61
    for number in range(100, 160):
        assert await storage.acquire_entry(str(number), 1, 60)
    assert len(storage) == 60


async def test_names_in_use_stay() -> None:
    clock = Clock()
    storage = InstantStorage(clock, 1000)
    for _ in range(10):
        for name in ("busy", "other"):
            await storage.acquire_entry(name, 100, 60)
        clock.now += 10
    assert await storage.get_moving_window("busy", 100, 60) == (55.0, 5)


async def test_above_the_bound_the_longest_idle_goes_first() -> None:
    clock = Clock()
    window = MemoryWindow(clock, max_names=3)
    for name in ("a", "b", "c", "a"):
        assert (await window.take(name, 2)).admitted
        clock.now += 1
    await window.take("d", 2)
    assert [(await window.take(name, 2)).remaining for name in ("a", "c", "d")] == [0, 0, 0]
    assert (await window.take("b", 2)).remaining == 1


async def test_refused_calls_bring_no_names() -> None:
    storage = InstantStorage(Clock(), 1000)
    assert not await storage.acquire_entry("a", 1, 60, 2)
    assert len(storage) == 0


async def test_a_name_can_be_cleared() -> None:
    storage = InstantStorage(Clock(), 1000)
    await storage.acquire_entry("a", 1, 60)
    await storage.acquire_entry("b", 1, 60)
    await storage.clear("a")
    assert await storage.acquire_entry("a", 1, 60)
    assert await storage.reset() == 2
    assert len(storage) == 0
