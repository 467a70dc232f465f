"""Whether the process can store events, by what became of those that came, and of the probe."""

import asyncio
import time

import asyncpg
import pytest

from app.core import outcomes
from app.errors import DependencyDown
from app.ingest import group_commit as group_commit_module
from tests.support.group_commits import Store, group_commit, record, running


async def test_flushes_that_fail_in_a_row_make_the_work_fail_until_one_succeeds() -> None:
    store = Store()
    commit = group_commit(store)
    async with running(commit) as progress:
        store.error = DependencyDown("postgres", "lock timeout")
        for failures in (1, 2, 3):
            with pytest.raises(DependencyDown):
                await commit.submit([record("a")])
            assert progress.outcomes.failing(time.monotonic()) is (failures == 3)
        assert progress.outcomes.error == "DependencyDown: postgres: lock timeout"
        store.error = None
        await commit.submit([record("a")])
        assert not progress.outcomes.failing(time.monotonic())


async def test_commit_after_the_deadline_of_its_requests_is_a_failure() -> None:
    store = Store()
    store.gate.clear()
    commit = group_commit(store, timeout_sec=0.02)
    async with running(commit) as progress:
        late = commit.submit([record("a")])
        with pytest.raises(DependencyDown):
            await late
        store.gate.set()
        while progress.outcomes.failures == 0:
            await asyncio.sleep(0)
    assert "requests wait at most 0.02 s" in progress.outcomes.error


async def test_values_that_postgres_refuses_are_no_failure_of_the_work() -> None:
    store = Store()
    commit = group_commit(store)
    async with running(commit) as progress:
        for _ in range(3):
            await commit.submit([record("a", "bad")])
    assert progress.outcomes.failures == 0


async def test_probe_tells_the_outcome_while_no_requests_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit_module, "_PROBE_SEC", 0.001)
    monkeypatch.setattr(outcomes, "_QUIET_FAILING_SEC", 0.001)
    store = Store()
    store.error = DependencyDown("postgres", "no room")
    async with running(group_commit(store)) as progress:
        while not progress.outcomes.failing(time.monotonic()):
            await asyncio.sleep(0)
        for error in (None, asyncpg.NumericValueOutOfRangeError("of the probe's own values")):
            progress.outcomes.failed(time.monotonic(), "no room")
            store.error = error
            while progress.outcomes.failures:
                await asyncio.sleep(0)
    assert store.batches == []


async def test_what_refuses_the_events_of_all_and_not_the_probe_fails_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit_module, "_PROBE_SEC", 0.001)
    monkeypatch.setattr(outcomes, "_QUIET_FAILING_SEC", 0.001)
    store = Store()
    store.error, store.passes_own_probe = asyncpg.CheckViolationError("a rule of the application"), True
    commit = group_commit(store)
    async with running(commit) as progress:
        for user in ("ann", "bob", "cid"):
            with pytest.raises(DependencyDown):
                await commit.submit([record(f"of-{user}", user)])
        while not progress.outcomes.failing(time.monotonic()):
            await asyncio.sleep(0)
        store.error = None
        while progress.outcomes.failures:
            await asyncio.sleep(0)
        assert {tried.user_id for tried in store.probed if tried is not None} == {"ann"}


async def test_probe_that_began_before_events_were_refused_does_not_clear_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit_module, "_PROBE_SEC", 0.001)
    monkeypatch.setattr(outcomes, "_QUIET_FAILING_SEC", 0.001)
    store = Store()
    store.probe_gate.clear()
    commit = group_commit(store)
    async with running(commit) as progress:
        progress.outcomes.failed(time.monotonic(), "no room")  # what lets the probe look again
        while not store.probed:
            await asyncio.sleep(0)
        store.error, store.passes_own_probe = asyncpg.CheckViolationError("a rule of the application"), True
        for user in ("ann", "bob", "cid"):
            with pytest.raises(DependencyDown):
                await commit.submit([record(f"of-{user}", user)])
        store.probe_gate.set()
        while len(store.probed) < 2:
            await asyncio.sleep(0)
        assert store.probed[0] is None
        assert store.probed[1] is not None


async def test_event_of_one_user_that_is_refused_again_and_again_fails_no_work() -> None:
    store = Store()
    store.error, store.passes_own_probe = asyncpg.CheckViolationError("a rule of the application"), True
    commit = group_commit(store)
    async with running(commit) as progress:
        for _ in range(5):
            with pytest.raises(DependencyDown):
                await commit.submit([record("a")])
        assert progress.outcomes.failures == 0
