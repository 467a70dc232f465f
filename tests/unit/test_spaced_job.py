"""How often maintenance does a job whose statements may be slow."""

import math

import pytest

from app.errors import DependencyDown, TooLarge
from workers import spaced_job
from workers.spaced_job import SpacedJob


class _Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(spaced_job, "time", clock)
    return clock


async def test_slow_job_waits_for_twenty_times_what_it_took(clock: _Clock) -> None:
    done = []

    async def job() -> None:
        clock.now += 2.0
        done.append(clock.now)

    spaced = SpacedJob(job, every_sec=30.0)
    await spaced()
    clock.now += 39.0
    await spaced()
    assert len(done) == 1
    clock.now += 1.0
    await spaced()
    assert len(done) == 2


async def test_job_that_was_given_up_is_failing_until_it_is_tried_again(clock: _Clock) -> None:
    calls = 0

    async def job() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise TooLarge("postgres", "statement timeout")

    spaced = SpacedJob(job)
    for _ in range(2):
        with pytest.raises(TooLarge, match="statement timeout"):
            await spaced()
    assert calls == 1
    clock.now = spaced.next_at
    await spaced()
    assert calls == 2


async def test_outage_says_nothing_of_the_job(clock: _Clock) -> None:
    async def job() -> None:
        raise DependencyDown("postgres", "away")

    spaced = SpacedJob(job, every_sec=30.0)
    with pytest.raises(DependencyDown):
        await spaced()
    assert spaced.next_at == -math.inf
