import asyncio
import time

import pytest

from app.errors import DependencyDown
from app.serving.fresh_cache import FreshCache
from tests.support.source import Source


def cache_of(
    source: Source,
    *,
    ttl_sec: float = 60.0,
    max_keys: int = 10,
    patience_sec: float = 0.01,
    reload_throttle: float = 0.0,
    fill_patience_sec: float | None = None,
) -> FreshCache[int]:
    return FreshCache(
        "test",
        source.load,
        absent=-1,
        ttl_sec=ttl_sec,
        max_keys=max_keys,
        max_batch=3,
        patience_sec=patience_sec,
        reload_throttle=reload_throttle,
        fill_patience_sec=fill_patience_sec,
    )


def closed(keys: str) -> Source:
    """A source of as many values, which gives none until it is opened."""
    source = Source()
    source.values = dict(zip(keys, range(len(keys)), strict=True))
    source.open.clear()
    return source


async def test_a_fresh_value_is_loaded_once() -> None:
    source = Source()
    source.values = {"a": 1}
    cache = cache_of(source)
    assert [await cache.get("a"), await cache.get("a")] == [1, 1]
    assert source.asked == [["a"]]


async def test_a_missing_key_is_remembered_as_absent() -> None:
    source = Source()
    cache = cache_of(source)
    assert [await cache.get("a"), await cache.get("a")] == [-1, -1]
    assert source.asked == [["a"]]


async def test_outdated_as_a_whole_all_values_are_loaded_again() -> None:
    source = closed("abc")
    cache = cache_of(source)
    source.open.set()
    assert await cache.get_many("ab") == {"a": 0, "b": 1}
    source.open.clear()
    under_way = asyncio.create_task(cache.get("c"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cache.outdate_all()
    source.open.set()
    assert await under_way == 2
    source.values = dict.fromkeys("abc", 7)
    assert await cache.get_many("abc") == dict.fromkeys("abc", 7)


async def test_outdated_as_a_whole_what_was_stale_already_is_waited_for() -> None:
    source = Source()
    cache = cache_of(source, patience_sec=30.0)
    assert await cache.get("a") == -1
    cache._store.expire(time.monotonic() + 61.0)
    source.values = {"a": 7}
    cache.outdate_all()
    assert await cache.get("a") == 7


async def test_readers_at_the_same_time_share_loads() -> None:
    source = closed("abcdef")
    cache = cache_of(source)
    first = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(cache.get(key)) for key in "abcdef"]
    await asyncio.sleep(0)
    source.open.set()
    assert await first == 0
    assert await asyncio.gather(*others) == [0, 1, 2, 3, 4, 5]
    assert source.asked == [["a"], ["b", "c", "d"], ["e", "f"]], "what is under way is not loaded twice"


async def test_nobody_waits_for_all_when_more_is_missing_than_two_loads_take() -> None:
    source = closed("abcdefgh")
    cache = cache_of(source, fill_patience_sec=0.01)
    few = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    assert await cache.get_many("bcdefgh") == dict.fromkeys("bcdefgh", -1)
    assert not few.done(), "one load is waited for"
    alone = asyncio.create_task(cache.get("h"))
    assert await cache.get_many("bcdefg") == dict.fromkeys("bcdefg", -1)
    assert not alone.done(), "who asks for one key has nothing else to go by"
    source.open.set()
    assert (await few, await alone) == (0, 7)
    assert await cache.get_many("bcdefg") == dict(zip("bcdefg", range(1, 7), strict=True))


async def test_a_reader_waits_for_what_two_loads_take() -> None:
    source = closed("abcdefgh")
    cache = cache_of(source, fill_patience_sec=0.001)
    first = asyncio.create_task(cache.get_many("abc"))
    while not source.asked:
        await asyncio.sleep(0)
    second = asyncio.create_task(cache.get_many("bcdefgh"))
    await asyncio.wait([second], timeout=0.05)
    source.open.set()
    assert await first == {"a": 0, "b": 1, "c": 2}
    assert await second == dict(zip("bcdefgh", range(1, 8), strict=True))


async def test_an_early_reader_does_not_wait_for_keys_wanted_later() -> None:
    source = closed("abcdefgh")
    cache = cache_of(source, fill_patience_sec=0.01)
    first = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    early = asyncio.create_task(cache.get_many("bc"))
    await asyncio.sleep(0)
    late = asyncio.create_task(cache.get_many("defgh"))
    async with asyncio.timeout(5):
        assert await early == {"b": -1, "c": -1}
        await late
    source.open.set()
    assert await first == 0


async def test_an_old_value_is_reloaded_and_served_if_the_load_is_slow() -> None:
    source = Source()
    source.values = {"a": 1}
    cache = cache_of(source, ttl_sec=0.0)
    assert await cache.get("a") == 1
    source.values = {"a": 2}
    assert await cache.get("a") == 2
    source.values = {"a": 3}
    source.open.clear()
    assert await cache.get("a") == 2
    source.open.set()
    await cache.get("a")
    assert await cache.get("a") == 3


async def test_a_reader_may_have_more_patience_than_others() -> None:
    source = Source()
    source.values = {"a": 1}
    cache = cache_of(source, patience_sec=0.0)
    assert await cache.get("a") == 1
    source.values = {"a": 2}
    source.open.clear()
    cache.outdate(["a"])
    patient = asyncio.create_task(cache.get_many("a", patience_sec=60.0))
    assert await cache.get("a") == 1
    await asyncio.sleep(0.02)
    assert not patient.done()
    source.open.set()
    assert await patient == {"a": 2}


async def test_a_fresh_entry_expires_by_itself() -> None:
    source = Source()
    source.values = {"a": 1, "b": 2}
    cache = cache_of(source, ttl_sec=0.02, patience_sec=5.0)
    async with asyncio.timeout(5):
        for key in ("a", "b", "a"):
            seen = len(source.asked)
            while len(source.asked) == seen:
                await cache.get(key)
                await asyncio.sleep(0)
    assert source.asked == [["a"], ["b"], ["a"]], "each as old as its own load"
    await cache.close()


async def test_a_value_that_only_grew_old_is_served_without_waiting_for_its_reload() -> None:
    source = Source()
    source.values = {"a": 1, "b": 1}
    cache = cache_of(source, ttl_sec=60.0, patience_sec=60.0)
    await cache.get_many("ab")
    cache._store.expire(time.monotonic() + 61.0)
    source.values = {"a": 2, "b": 2}
    assert await cache.get("a") == 1
    assert source.asked == [["a", "b"]], "the reload begins once the reader has the old value"
    while await cache.get("a") == 1:
        await asyncio.sleep(0)
    assert source.asked == [["a", "b"], ["a"]]
    cache.outdate(["b"])
    assert await cache.get("b") == 2, "what has changed is waited for"
    await cache.close()


async def test_a_failed_load_serves_the_stale_value_or_raises_without_one() -> None:
    source = Source()
    source.values = {"a": 1}
    cache = cache_of(source, ttl_sec=0.0, patience_sec=5.0)
    assert await cache.get("a") == 1
    source.error = DependencyDown("postgres", "away")
    assert await cache.get("a") == 1
    with pytest.raises(DependencyDown):
        await cache.get("b")
    source.error = None
    source.values = {"b": 2}
    assert await cache.get("b") == 2


async def test_a_fault_of_a_load_is_told_to_those_who_wait_for_its_keys_and_to_no_others() -> None:
    source = closed("abcd")
    source.faults["b"] = ValueError("a row that cannot be read")
    cache = cache_of(source)
    first = asyncio.create_task(cache.get_many("abc"))
    while not source.asked:
        await asyncio.sleep(0)
    other = asyncio.create_task(cache.get("d"))
    await asyncio.sleep(0)
    source.open.set()
    with pytest.raises(ValueError, match="a row"):
        await first
    assert await other == 3
    await cache.close()


async def test_the_number_of_keys_is_bounded_and_the_oldest_go() -> None:
    source = Source()
    source.values = {str(n): n for n in range(20)}
    cache = cache_of(source, max_keys=5)
    for n in range(20):
        await cache.get(str(n))
    source.asked.clear()
    assert await cache.get_many(["15", "16", "17", "18", "19"]) == {str(n): n for n in range(15, 20)}
    assert source.asked == []
    await cache.get("0")
    assert source.asked == [["0"]]


async def test_a_key_that_is_dropped_while_it_is_read_is_answered_all_the_same() -> None:
    source = Source()
    source.values = {str(n): n for n in range(9)}
    cache = cache_of(source, max_keys=2)
    assert await cache.get_many([str(n) for n in range(9)]) == {str(n): n for n in range(9)}


async def test_an_outdated_value_is_reloaded_when_it_is_asked_for() -> None:
    source = Source()
    source.values = {"a": 1, "b": 1}
    cache = cache_of(source)
    await cache.get_many(["a", "b"])
    source.values = {"a": 2, "b": 2}
    cache.outdate(["a", "never seen"])
    assert await cache.get_many(["a", "b"]) == {"a": 2, "b": 1}
    assert source.asked == [["a", "b"], ["a"]]


async def test_an_entry_that_changes_during_its_load_is_loaded_again() -> None:
    source = Source()
    source.values = {"a": 1}
    source.open.clear()
    cache = cache_of(source)
    reader = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cache.outdate(["a"])
    source.open.set()
    assert await reader == 1
    source.values = {"a": 2}
    assert await cache.get("a") == 2


async def test_reloads_that_give_way_keep_nobody_with_an_old_value_waiting() -> None:
    source = Source()
    source.values = {"a": 1, "b": 1}
    cache = cache_of(source, patience_sec=60.0, reload_throttle=1e9)
    await cache.get("a")
    for value in (2, 3):
        source.values = {"a": value, "b": value}
        cache.outdate(["a"])
        assert await cache.get("a") == 2, "one reload, and then the loader rests"
    assert await cache.get("b") == 3, "a key without a value does not wait for the rest to end"
    assert source.asked == [["a"], ["a"], ["b"]]
    await cache.close()


async def test_closing_ends_a_load_under_way() -> None:
    source = Source()
    source.open.clear()
    cache = cache_of(source)
    reader = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await cache.close()
    with pytest.raises(DependencyDown):
        await reader
