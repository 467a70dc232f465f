"""`reco doctor` beside somebody who holds a table."""

import asyncpg
import pytest

from app.checks import doctor


async def test_statement_without_an_answer_is_told(
    database_url: str, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_STATEMENT_SEC", 1.0)
    async with pool.acquire() as holding, holding.transaction():
        await holding.execute("LOCK TABLE feature_generations IN ACCESS EXCLUSIVE MODE")
        found = [finding async for finding in doctor.postgres(database_url, pool_size=10)]
    assert (found[-1].level, found[-1].text) == ("FAIL", "a statement had no answer within 1 s")
    assert "who holds its tables" in found[-1].remedy
