"""The learner's task on a real Postgres: who learns, what is kept, what it decides. Samples are planted, by seed."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import asyncpg
import msgspec
import numpy as np
import pytest
from prometheus_client import Gauge

import workers.learner
from app import metrics
from app.adapters import ranking_models
from app.adapters.postgres import Database
from app.adapters.ranking_models import ServedModel, StoredLearner
from app.core.item_index import ItemIndex
from app.core.item_table import ItemTable
from app.core.model import MODEL
from app.core.named_weights import from_named, named
from app.core.promotion import LEAST_TESTS
from app.core.ranking_learner import LearnerReport
from app.core.ranking_samples import RankingSample, places
from app.core.weights import FEATURES, FIXED, POPULARITY, START
from app.errors import DependencyDown
from app.supervisor import Progress
from tests.support.pipeline import counted, running, until
from tests.support.planted import PLANTED, samples
from workers.learner import MOST_WAITING, LearnerTask, Learning
from workers.sampler import Sampler

Pool = asyncpg.Pool
FIRST = 1
"""The version that a new database serves."""


def learner(opened: Database, learning: Learning = "auto") -> LearnerTask:
    table = ItemTable(ItemIndex(), MODEL)
    return LearnerTask(opened, Sampler(lambda _seeds, _own: None, table), learning)


@asynccontextmanager
async def learning(task: LearnerTask) -> AsyncIterator[Progress]:
    """The task, while it holds the lock."""
    async with running(task) as progress:
        await until(holds(task))
        yield progress


def holds(task: LearnerTask):
    async def is_active() -> bool:
        return task.sampler.is_active

    return is_active


async def teach(task: LearnerTask, given: Iterable[RankingSample]) -> None:
    """Offers samples no faster than they are taken."""
    before = counted(metrics.LEARNER_SAMPLES)
    offered = 0
    for sample in given:
        task.offer([sample])
        offered += 1
        while counted(metrics.LEARNER_SAMPLES) < before + offered - MOST_WAITING // 2:
            await asyncio.sleep(0.01)
    while counted(metrics.LEARNER_SAMPLES) < before + offered:
        await asyncio.sleep(0.01)


async def served(pool: Pool) -> ServedModel:
    async with pool.acquire() as connection:
        return await ranking_models.read_served(connection)


async def stored(pool: Pool) -> StoredLearner:
    async with pool.acquire() as connection:
        return await ranking_models.read_learner(connection)


async def report(pool: Pool) -> LearnerReport:
    found = (await stored(pool)).report
    assert found is not None
    return msgspec.json.decode(found, type=LearnerReport)


def shown(gauge: Gauge) -> bool:
    return any(metric.samples for metric in gauge.collect())


@pytest.mark.slow
async def test_planted_structure_is_promoted_and_ranks_better(opened: Database, pool: Pool) -> None:
    async with learning(task := learner(opened)):
        await teach(task, samples(1, 2_000))
    found = await served(pool)
    assert found.version > FIRST
    assert found.origin == "learned"
    assert "better than what serves" in found.reason
    assert found.figures["learned"]["all"]["ndcg"] > found.figures["served"]["all"]["ndcg"]
    test = list(samples(99, 300))
    ranked = [places(one, [START, from_named(found.weights)]) for one in test]
    before, after = ([place[contender] <= 20 for place in ranked] for contender in (0, 1))
    assert np.mean(after) > 1.2 * np.mean(before)
    assert await pool.fetchval("SELECT count(*) FROM audit_log WHERE actor = 'learner' AND outcome = 'promoted'") >= 1
    assert await pool.fetchval("SELECT count(*) FROM feature_changes WHERE item_ids = ARRAY[E'\\t']") >= 1


async def test_served_version_that_falls_behind_is_rolled_back(opened: Database, pool: Pool) -> None:
    """An operator promotes weights that are the wrong way round, in a world that the constants fit."""
    async with pool.acquire() as connection:
        worst = await ranking_models.add(connection, named(-FIXED), "imported", "a mistake", "{}", actor="ann")
        await ranking_models.restart_learner(connection, worst, actor="ann")
        await ranking_models.serve(connection, worst, "a mistake", actor="ann")
    async with learning(task := learner(opened)):
        await teach(task, samples(2, 600, planted=2.0 * FIXED))
    found = await served(pool)
    assert found.version == FIRST
    assert f"version {worst} was rolled back: what serves is" in found.reason
    async with pool.acquire() as connection:
        assert (await ranking_models.read_model(connection, worst)).withdrawn_at is not None


async def test_served_version_gives_way_to_the_constants_where_what_served_before_is_worse(
    opened: Database, pool: Pool
) -> None:
    async with pool.acquire() as connection:
        worst = await ranking_models.add(connection, named(-FIXED), "imported", "a mistake", "{}", actor="ann")
        poor = await ranking_models.add(connection, named(POPULARITY), "imported", "another", "{}", actor="ann")
        await ranking_models.restart_learner(connection, worst, actor="ann")
        await ranking_models.serve(connection, worst, "a mistake", actor="ann")
        await ranking_models.serve(connection, poor, "another one", actor="ann")
    async with learning(task := learner(opened)):
        await teach(task, samples(2, 600, planted=2.0 * FIXED))
    found = await served(pool)
    assert found.version == FIRST
    assert f"version {poor} was rolled back: what serves is" in found.reason
    assert "worse than the fixed constants" in found.reason


@pytest.mark.parametrize("decides", ["shadow", "pinned"])
async def test_learner_that_may_not_decide_only_suggests(opened: Database, pool: Pool, decides: str) -> None:
    if decides == "pinned":
        async with pool.acquire() as connection:
            await ranking_models.pin(connection, True, actor="ann")
    async with learning(task := learner(opened, "shadow" if decides == "shadow" else "auto")):
        await teach(task, samples(3, 1_500))
    assert (await served(pool)).version == FIRST
    found = await report(pool)
    assert found.suggests is not None
    assert found.suggests.action == "promote"
    assert found.samples == 1_500


async def test_learner_goes_on_where_another_process_ended(opened: Database, pool: Pool) -> None:
    async with learning(first := learner(opened, "shadow")):
        await teach(first, samples(4, 400))
        async with running(second := learner(opened, "shadow")) as progress:
            await until(stands_by(progress))
            assert not second.sampler.is_active
            second.offer(samples(4, 1))
        assert (await stored(pool)).is_held
    assert not (await stored(pool)).is_held
    before = await report(pool)
    async with learning(third := learner(opened, "shadow")):
        await teach(third, samples(5, 100))
    after = await report(pool)
    assert (before.samples, after.samples) == (400, 500)
    assert after.figures["learned"].all.tests == 500


def stands_by(progress: Progress):
    async def is_so() -> bool:
        return "another process learns" in (progress.detail or "")

    return is_so


async def test_waiting_process_takes_over_when_the_learner_loses_its_connection(opened: Database, pool: Pool) -> None:
    first, second = learner(opened), learner(opened)
    async with running(first):
        await until(holds(first))
        async with running(second):
            killed = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            assert await pool.fetchval(killed)

            async def one_learns() -> bool:
                one = first.sampler.is_active != second.sampler.is_active
                return one and (await stored(pool)).is_held

            await until(one_learns)


async def test_learner_without_samples_gives_the_lock_away(
    opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.learner, "_IDLE_SEC", 1.0)
    first, second = learner(opened), learner(opened)
    async with running(first) as progress:
        await until(holds(first))

        async def gave_away() -> bool:
            return "it had no samples" in (progress.detail or "")

        await until(gave_away)
        assert shown(metrics.RANKING_TESTS)  # an alert holds while nobody learns
        async with running(second):
            await until(holds(second))
            assert not first.sampler.is_active
            assert (await stored(pool)).is_held
    assert not shown(metrics.RANKING_TESTS)


async def test_learner_starts_anew_from_imported_weights(opened: Database, pool: Pool) -> None:
    async with learning(task := learner(opened, "shadow")):
        await teach(task, samples(6, 50))
        async with pool.acquire() as connection:
            version = await ranking_models.add(connection, named(PLANTED), "imported", "a file", "{}", actor="ann")
            await ranking_models.restart_learner(connection, version, actor="ann")
    async with learning(task):
        await teach(task, samples(7, 10))
    found = await report(pool)
    assert found.samples == 10
    following = FEATURES.index("following")
    assert from_named(found.weights)[:, following] == pytest.approx(PLANTED[:, following], abs=1.0)


async def test_nothing_that_was_learned_before_an_operator_made_it_start_anew_is_promoted(
    opened: Database, pool: Pool
) -> None:
    given = list(samples(1, LEAST_TESTS))
    async with learning(task := learner(opened)):
        await teach(task, given[:-1])
        async with pool.acquire() as connection:
            await ranking_models.restart_learner(connection, None, actor="ann")
        await teach(task, given[-1:])
    assert (await served(pool)).version == FIRST


async def test_operator_may_choose_another_version_while_it_learns(opened: Database, pool: Pool) -> None:
    async with learning(task := learner(opened)) as progress:
        async with pool.acquire() as connection:
            version = await ranking_models.add(connection, named(PLANTED), "imported", "a file", "{}", actor="ann")
            await ranking_models.serve(connection, version, "an operator chose it", actor="ann")

        async def follows() -> bool:
            return f"version {version} serves" in (progress.detail or "")

        await until(follows)
        await teach(task, samples(8, 10))
    assert (await report(pool)).tests == 10


async def test_state_that_cannot_be_read_is_replaced(opened: Database, pool: Pool) -> None:
    await pool.execute("UPDATE ranking_learner SET state = '\\x00'")
    async with learning(task := learner(opened)):
        await teach(task, samples(9, 5))
    assert (await report(pool)).samples == 5


async def test_samples_beyond_the_queue_are_dropped_and_counted(opened: Database) -> None:
    task = learner(opened)
    before = counted(metrics.LEARNER_SAMPLES, result="full")
    task.offer(samples(10, MOST_WAITING + 7))
    assert counted(metrics.LEARNER_SAMPLES, result="full") == before + 7


async def test_sample_that_is_not_finite_is_counted_and_left_out(opened: Database, pool: Pool) -> None:
    broken = next(samples(11, 1))
    broken.features[3, 3] = np.inf
    before = counted(metrics.LEARNER_SAMPLES, result="not_finite")
    async with learning(task := learner(opened)):
        await teach(task, [broken])
    assert counted(metrics.LEARNER_SAMPLES, result="not_finite") == before + 1
    assert (await report(pool)).samples == 0


async def test_file_of_the_url_that_is_away_for_a_while_is_waited_for(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a certificate is while somebody replaces it."""
    monkeypatch.setattr(workers.learner, "_AWAY_SEC", 0.01)
    listen = opened.listen

    async def refused() -> object:
        raise DependencyDown("postgres", "sslcert of the database URL, client.crt: FileNotFoundError")

    monkeypatch.setattr(opened, "listen", refused)
    task = learner(opened)
    async with running(task) as progress:

        async def is_told() -> bool:
            return progress.detail == "waiting: postgres: sslcert of the database URL, client.crt: FileNotFoundError"

        await until(is_told)
        monkeypatch.setattr(opened, "listen", listen)
        await until(holds(task))
