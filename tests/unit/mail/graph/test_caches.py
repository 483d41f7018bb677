import asyncio

from satchel.mail.graph.caches import RecentlyFound


async def test_what_was_used_last_stays() -> None:
    found: RecentlyFound[str, int] = RecentlyFound(2)
    found.put("a", 1)
    found.put("b", 2)
    assert found.get("a") == 1
    found.put("c", 3)
    assert [found.get(key) for key in "abc"] == [1, None, 3]
    found.forget("a")
    found.forget("a")
    assert found.get("a") is None


async def test_what_is_put_in_again_counts_as_used() -> None:
    found: RecentlyFound[str, int] = RecentlyFound(2)
    for key in "abac":
        found.put(key, 1)
    assert [found.get(key) for key in "abc"] == [1, None, 1]


async def test_what_is_old_is_forgotten_however_often_it_was_used() -> None:
    found: RecentlyFound[str, int] = RecentlyFound(2, seconds=10)
    found.put("a", 1)
    await asyncio.sleep(6)
    assert found.get("a") == 1
    await asyncio.sleep(6)
    assert found.get("a") is None
