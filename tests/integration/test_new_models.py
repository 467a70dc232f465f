"""`reco model store`: what is learned becomes a version that an operator may promote."""

import asyncpg
import pytest

from app.adapters import ranking_models
from app.adapters.postgres import Database
from app.core.named_weights import from_named
from app.core.weights import START
from tests.integration.test_learner import learner, learning, report, teach
from tests.integration.test_ranking_models import reco_model, refused
from tests.support.planted import samples

Pool = asyncpg.Pool


@pytest.mark.shows("reco model store")
async def test_what_is_learned_in_shadow_becomes_a_version_that_can_be_promoted(
    opened: Database, pool: Pool, database_url: str
) -> None:
    assert "Nothing is learned yet" in await refused(database_url, "store")
    async with learning(task := learner(opened, "shadow")):
        await teach(task, samples(3, 600))
    said = await reco_model(database_url, "store", "--reason", "a week [old] in shadow")
    assert "Version 2 is stored. `reco model promote 2` makes it serve." in said
    assert "a week [old] in shadow" in await reco_model(database_url, "list")
    learned = await report(pool)
    async with pool.acquire() as connection:
        assert (await ranking_models.read_served(connection)).version == 1
        found = await ranking_models.read_model(connection, 2)
    assert found.origin == "learned"
    assert found.weights == learned.weights
    assert (from_named(found.weights) != START).any()
    assert found.figures["learned"]["all"]["tests"] == 600
    await reco_model(database_url, "promote", "2")
    async with pool.acquire() as connection:
        assert (await ranking_models.read_served(connection)).version == 2
    await pool.execute("UPDATE ranking_learner SET state = 'broken'")
    assert "not the state of a learner" in await refused(database_url, "store")


async def test_version_that_is_chosen_while_it_serves_has_served_since_it_began(pool: Pool, database_url: str) -> None:
    """Otherwise the learner would forget its tests."""
    began = await pool.fetchval("SELECT changed_at FROM ranking_choice")
    served = await pool.fetchval("SELECT served_at FROM ranking_models WHERE version = 1")
    await reco_model(database_url, "pin", "1")
    await reco_model(database_url, "promote", "1", "--reason", "once more")
    assert await pool.fetchval("SELECT changed_at FROM ranking_choice") == began
    assert await pool.fetchval("SELECT served_at FROM ranking_models WHERE version = 1") == served
    assert await pool.fetchval("SELECT reason FROM ranking_choice") == "once more"
