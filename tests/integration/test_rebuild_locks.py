"""What a rebuild waits for, and what it does not need: the lock of maintenance, and the former tables."""

import asyncio

import asyncpg
import pytest

from app.adapters import building
from app.adapters.postgres import Database
from app.errors import DependencyDown
from tests.support.pipeline import until
from tests.support.rebuilding import generation, log, start_rebuild, store_and_count
from workers.batch import FeatureWriter

Pool = asyncpg.Pool

# As whoever removes items that are gone takes it.
_LOCK = "SELECT pg_try_advisory_xact_lock(7236353)"
_TRIES = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reco rebuild' AND query LIKE '%(7236353)%'"


@pytest.mark.slow
async def test_rebuild_waits_for_maintenance_that_removes_items(
    database_url: str, opened: Database, pool: Pool
) -> None:
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(100))

    async def it_tries() -> bool:
        return bool(await pool.fetchval(_TRIES))

    async with pool.acquire() as other, other.transaction():
        assert await other.fetchval(_LOCK)
        process = start_rebuild(database_url)
        await until(it_tries, 60.0)
    output, _ = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, output
    assert await generation(pool) == 2


async def test_connection_that_is_lost_after_the_swap_is_no_failure(database_url: str) -> None:
    async with building.connection(database_url, building=True) as built:
        built.terminate()
        await building.tidy(built)


async def test_error_of_another_server_is_not_blamed_on_postgres(database_url: str) -> None:
    with pytest.raises(ConnectionRefusedError):
        async with building.connection(database_url):
            raise ConnectionRefusedError
    connected = building.connection(database_url)
    (await connected.__aenter__()).terminate()
    with pytest.raises(DependencyDown):
        await connected.__aexit__(ConnectionResetError, ConnectionResetError(), None)
