"""`reco doctor` beside somebody who holds a table."""

import asyncio
import subprocess
import sys

import asyncpg

_DOCTOR = "from app.checks import doctor; from app.cli import main; doctor._STATEMENT_SEC = 1.0; main()"


async def test_statement_without_an_answer_is_told_and_the_command_ends(
    environment: dict[str, str], pool: asyncpg.Pool
) -> None:
    async with pool.acquire() as holding, holding.transaction():
        await holding.execute("LOCK TABLE feature_generations IN ACCESS EXCLUSIVE MODE")
        command = [sys.executable, "-c", _DOCTOR, "doctor"]
        done = await asyncio.to_thread(
            subprocess.run, command, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
    assert done.returncode == 1, done.stdout
    assert "FAIL postgres: a statement had no answer within 1 s" in done.stdout
    assert "see in pg_stat_activity who holds its tables" in done.stdout
    assert "schema: matches" not in done.stdout  # that is what waited
    assert not done.stderr
