"""Concurrent readers share a read; nothing old is served but when nothing can be read."""

import asyncio

import pytest

from app.errors import DependencyDown
from app.serving.request_coalescer import RequestCoalescer
from tests.support.source import Source


def reads_of(
    source: Source, *, patience_sec: float = 5.0, keep_sec: float = 60.0, max_keys: int = 10
) -> RequestCoalescer[int]:
    return RequestCoalescer(
        "test", source.load, absent=-1, patience_sec=patience_sec, keep_sec=keep_sec, max_keys=max_keys, max_batch=3
    )


async def test_every_read_reaches_the_store() -> None:
    source = Source()
    reads = reads_of(source)
    assert await reads.get("a") == -1
    source.values["a"] = 1
    assert await reads.get("a") == 1
    await reads.close()


async def test_a_request_during_a_read_joins_the_next_read() -> None:
    source = Source()
    reads = reads_of(source)
    source.open.clear()
    first = asyncio.create_task(reads.get("a"))
    while not source.asked:
        await asyncio.sleep(0)
    later = [asyncio.create_task(reads.get(key)) for key in ("a", "b", "b", "c")]
    await asyncio.sleep(0)
    source.open.set()
    assert await asyncio.gather(first, *later) == [-1] * 5
    assert source.asked == [["a"], ["a", "b"], ["c"]]
    await reads.close()


async def test_a_reader_that_is_gone_takes_nothing_from_the_others() -> None:
    source = Source()
    source.values = {"a": 1}
    reads = reads_of(source)
    source.open.clear()
    gone, stays = asyncio.create_task(reads.get("a")), asyncio.create_task(reads.get("a"))
    while not source.asked:
        await asyncio.sleep(0)
    gone.cancel()
    source.open.set()
    assert await stays == 1
    await reads.close()


async def test_a_fault_of_a_read_is_told_to_those_who_asked_and_to_no_others() -> None:
    source = Source()
    source.values = {"b": 2}
    source.faults["a"] = ValueError("a history that cannot be read")
    reads = reads_of(source)
    source.open.clear()
    first = asyncio.create_task(reads.get("a"))
    while not source.asked:
        await asyncio.sleep(0)
    other = asyncio.create_task(reads.get("b"))
    await asyncio.sleep(0)
    source.open.set()
    with pytest.raises(ValueError, match="a history"):
        await first
    assert await other == 2
    await reads.close()


@pytest.mark.parametrize("slow", [False, True])
async def test_an_old_value_is_served_when_none_can_be_read_and_for_a_time_only(slow: bool) -> None:
    source = Source()
    source.values = {"a": 1}
    reads = reads_of(source, patience_sec=0.01 if slow else 5.0)
    assert await reads.get("a") == 1
    if slow:
        source.open.clear()
    else:
        source.error = DependencyDown("postgres", "away")
    assert await reads.get("a") == 1
    with pytest.raises(DependencyDown):
        await reads.get("b")
    reads.forget("a")
    with pytest.raises(DependencyDown):
        await reads.get("a")
    await reads.close()

    source.open.set()
    source.error = None
    brief = reads_of(source, keep_sec=-1.0)
    assert await brief.get("a") == 1
    source.error = DependencyDown("postgres", "away")
    with pytest.raises(DependencyDown):
        await brief.get("a")
    await brief.close()


async def test_a_key_that_is_forgotten_during_its_read_is_not_kept() -> None:
    source = Source()
    source.values = {"a": 1, "b": 2}
    reads = reads_of(source)
    source.open.clear()
    first, other = asyncio.create_task(reads.get("a")), asyncio.create_task(reads.get("b"))
    while not source.asked:
        await asyncio.sleep(0)
    reads.forget("a")
    source.open.set()
    assert (await first, await other) == (1, 2)
    assert reads.keeps("b")
    assert not reads.keeps("a")
    source.error = DependencyDown("postgres", "away")
    assert await reads.get("b") == 2
    with pytest.raises(DependencyDown):
        await reads.get("a")
    await reads.close()


async def test_no_more_is_kept_than_allowed() -> None:
    source = Source()
    source.values = {"a": 1, "b": 2, "c": 3}
    reads = reads_of(source, max_keys=2)
    assert [await reads.get(key) for key in "abc"] == [1, 2, 3]
    source.error = DependencyDown("postgres", "away")
    assert [await reads.get(key) for key in "bc"] == [2, 3]
    with pytest.raises(DependencyDown):
        await reads.get("a")
    await reads.close()


async def test_closing_ends_the_waiting() -> None:
    source = Source()
    reads = reads_of(source)
    source.open.clear()
    waiting = [asyncio.create_task(reads.get(key)) for key in "abcd"]
    while not source.asked:
        await asyncio.sleep(0)
    await reads.close()
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, DependencyDown)
