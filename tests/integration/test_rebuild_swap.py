"""`reco rebuild` without the answer to its last statement: it says whether the new tables serve."""

import asyncio
import signal
import subprocess
from collections.abc import Callable

import asyncpg
import pytest

from app.adapters.postgres import Database
from tests.faults.proxy import Direction, Proxy, proxied_url
from tests.support.pipeline import until
from tests.support.rebuilding import assert_alike, generation, log, rebuilt, start_rebuild, store_and_count, sums
from workers.batch import FeatureWriter

Pool = asyncpg.Pool
Process = subprocess.Popen[str]
# Of the statement by which the new generation serves; the COMMIT comes soon after it.
_SERVES = b"swapped_at = clock_timestamp()"
_EVENTS = 100


def _reset(proxy: Proxy, _: Process) -> None:
    proxy.reset()


def _interrupt(_: Proxy, process: Process) -> None:
    """Ctrl-C."""
    process.send_signal(signal.SIGINT)


async def _held_at_the_commit(proxy: Proxy, url: str, direction: Direction) -> Process:
    proxy.trap(b"COMMIT", after=_SERVES, direction=direction)
    process = start_rebuild(url)
    assert await asyncio.to_thread(proxy.caught.wait, 60.0)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("fault", [_reset, _interrupt])
async def test_swap_whose_answer_does_not_come_is_told_as_done(
    database_url: str, opened: Database, pool: Pool, fault: Callable[[Proxy, Process], None]
) -> None:
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(_EVENTS))
    before = await sums(pool)

    async def serves() -> bool:
        return await generation(pool) == 2

    with proxied_url(database_url) as (proxy, url):
        process = await _held_at_the_commit(proxy, url, "response")
        await until(serves, 30.0)
        fault(proxy, process)
        output, _ = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, output
    assert f"The new generation serves: {_EVENTS} events" in output
    assert await pool.fetchval("SELECT to_regnamespace('reco_retired')") is None
    assert "may still be on the disk" not in output
    assert_alike(await sums(pool), before)


@pytest.mark.slow
async def test_swap_that_did_not_happen_goes_on_in_the_next_run(
    database_url: str, opened: Database, pool: Pool
) -> None:
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(_EVENTS))
    before = await sums(pool)
    with proxied_url(database_url) as (proxy, url):
        process = await _held_at_the_commit(proxy, url, "request")
        proxy.reset()
        output, _ = await asyncio.to_thread(process.communicate, timeout=60)
    assert (process.returncode, await generation(pool)) == (2, 1), output
    assert "Run the same command again: it goes on where it stopped" in " ".join(output.split())
    await rebuilt(database_url)
    assert await generation(pool) == 2
    assert_alike(await sums(pool), before)
