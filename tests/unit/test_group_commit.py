"""The buffer before Postgres: order, bounds, deadlines and who suffers from a failure."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from app.errors import BufferFull, Closed, DependencyDown, TooLarge
from app.ingest.group_commit import GroupCommit
from app.supervisor import Progress
from tests.support.group_commits import Store, group_commit, record, running


@asynccontextmanager
async def buffer(store: Store, **changes: Any) -> AsyncIterator[GroupCommit]:
    commit = group_commit(store, **changes)
    async with running(commit):
        yield commit


async def test_events_that_arrive_during_a_flush_join_the_next_one() -> None:
    store = Store()
    store.gate.clear()
    async with buffer(store) as commit:
        first = commit.submit([record("a")])
        await store.entered.wait()
        rest = [commit.submit([record(name)]) for name in "bcd"]
        store.gate.set()
        assert await asyncio.gather(first, *rest) == [["accepted"]] * 4
    assert store.batches == [["a"], ["b", "c", "d"]]


async def test_a_flush_has_a_bound_and_a_batch_is_never_torn() -> None:
    store = Store()
    store.gate.clear()
    async with buffer(store) as commit:
        commit.submit([record("first")])
        await store.entered.wait()
        for start in range(0, 18, 6):
            commit.submit([record(str(number)) for number in range(start, start + 6)])
        store.gate.set()
    assert [len(batch) for batch in store.batches] == [1, 6, 6, 6]


async def test_an_atomic_batch_goes_alone() -> None:
    store = Store()
    store.gate.clear()
    async with buffer(store) as commit:
        commit.submit([record("first")])
        await store.entered.wait()
        commit.submit([record("a")])
        commit.submit([record("b"), record("c")], atomic=True)
        commit.submit([record("d")])
        store.gate.set()
    assert store.batches == [["first"], ["a"], ["b", "c"], ["d"]]


async def test_past_the_bound_it_refuses_at_once_and_takes_again_later() -> None:
    store = Store()
    store.gate.clear()
    async with buffer(store, max_pending=3) as commit:
        waiting = commit.submit([record("a"), record("b")])
        with pytest.raises(BufferFull):
            commit.submit([record("c"), record("d")])
        assert commit._pending == 2
        store.gate.set()
        await waiting
        await asyncio.sleep(0)
        assert await commit.submit([record("c"), record("d"), record("e")]) == ["accepted"] * 3


async def test_one_bad_row_fails_alone_whoever_it_came_with() -> None:
    store = Store()
    store.gate.clear()
    async with buffer(store) as commit:
        commit.submit([record("first")])
        await store.entered.wait()
        good = commit.submit([record("a"), record("b")])
        mixed = commit.submit([record("c"), record("d", "bad"), record("e")])
        store.gate.set()
        assert await good == ["accepted", "accepted"]
        before, refused, after = await mixed
        assert (before, after) == ("accepted", "accepted")
        assert isinstance(refused, asyncpg.NumericValueOutOfRangeError)


async def test_an_outage_fails_the_requests_of_the_flush_and_no_others() -> None:
    store = Store()
    async with buffer(store) as commit:
        store.error = DependencyDown("postgres", "away")
        with pytest.raises(DependencyDown):
            await commit.submit([record("a")])
        store.error = None
        assert await commit.submit([record("a")]) == ["accepted"]


@pytest.mark.parametrize("queued", [False, True])
async def test_nobody_waits_past_the_deadline_for_a_statement_that_hangs(queued: bool) -> None:
    store = Store()
    store.gate.clear()
    async with buffer(store, timeout_sec=0.05) as commit:
        futures = [commit.submit([record("a")])]
        await store.entered.wait()
        if queued:
            futures.append(commit.submit([record("b")]))
        for future in futures:
            with pytest.raises(DependencyDown, match="postgres"):
                await asyncio.wait_for(future, 20)
        assert commit._pending == 1  # the statement may still commit, and its room is not given away
        store.gate.set()
    assert store.batches == [["a"]]


async def test_a_client_that_goes_away_changes_nothing_for_its_events() -> None:
    store = Store()
    store.gate.clear()
    async with buffer(store) as commit:
        gone = commit.submit([record("a")])
        await store.entered.wait()
        other = commit.submit([record("b")])
        gone.cancel()
        store.gate.set()
        assert await other == ["accepted"]
    assert store.batches == [["a"], ["b"]]


async def test_stop_writes_what_waits_and_takes_nothing_more() -> None:
    store = Store()
    store.gate.clear()
    commit, stop = group_commit(store, flushers=2), asyncio.Event()
    run = asyncio.create_task(commit.run(stop, Progress()))
    futures = [commit.submit([record(str(number))]) for number in range(25)]
    await store.entered.wait()
    stop.set()
    store.gate.set()
    assert await asyncio.gather(*futures) == [["accepted"]] * 25
    await asyncio.wait_for(run, 20)
    with pytest.raises(Closed):
        commit.submit([record("late")])


async def test_crash_fails_the_statement_in_hand_and_keeps_what_waits() -> None:
    store = Store()
    store.gate.clear()
    commit = group_commit(store, flushers=2, flush_max=1)
    run = asyncio.create_task(commit.run(asyncio.Event(), Progress()))
    in_hand = [commit.submit([record(name)]) for name in "ab"]
    while len(store.batches) < 2:
        await asyncio.sleep(0)
    waiting = commit.submit([record("c")])
    store.error = RuntimeError("a bug")
    store.gate.set()
    await asyncio.wait([run])
    assert isinstance(run.exception(), ExceptionGroup)
    for future in in_hand:
        with pytest.raises(DependencyDown, match="not known yet"):
            await future
    assert commit._pending == 1
    meanwhile = commit.submit([record("d")])
    store.error = None
    async with running(commit):
        assert await asyncio.gather(waiting, meanwhile) == [["accepted"]] * 2
    assert sorted(store.batches[2:]) == [["c"], ["d"]]


async def test_without_a_run_nobody_waits_past_the_deadline() -> None:
    commit = group_commit(Store(), timeout_sec=0.05)
    futures = [commit.submit([record(name)]) for name in "abc"]
    for future in futures:
        with pytest.raises(DependencyDown, match="not stored"):
            await asyncio.wait_for(future, 20)
    assert commit._pending == 0


async def test_flush_that_is_too_large_is_halved_and_grows_back() -> None:
    store = Store()
    async with buffer(store, flush_max=8) as commit:
        store.error = TooLarge("postgres", "statement timeout")
        futures = [commit.submit([record(str(number))]) for number in range(8)]
        for future in futures:
            with pytest.raises(DependencyDown):
                await future
        store.error = None
        del store.batches[:]
        for _ in range(2):
            await asyncio.gather(*(commit.submit([record(str(number))]) for number in range(8)))
    assert [len(batch) for batch in store.batches] == [4, 4, 8]
