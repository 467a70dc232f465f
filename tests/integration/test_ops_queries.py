"""The queries that ops/ sends to Postgres run against the schema that the migrations make."""

from pathlib import Path
from typing import Final

import asyncpg
import pytest
import yaml

SCALERS: Final = Path(__file__).resolve().parents[2] / "ops" / "kubernetes" / "scaled-objects.yaml"
QUERIES: Final = {
    document["metadata"]["name"]: trigger["metadata"]["query"]
    for document in yaml.safe_load_all(SCALERS.read_text())
    if document["kind"] == "ScaledObject"
    for trigger in document["spec"]["triggers"]
    if trigger["type"] == "postgresql"
}


def test_relays_are_scaled_by_a_query() -> None:
    assert "outbox-relay" in QUERIES


@pytest.mark.parametrize("name", QUERIES)
async def test_a_scaler_counts_what_waits(pool: asyncpg.Pool, name: str) -> None:
    await pool.execute(
        "INSERT INTO event_outbox (event_id, topic, message_key, payload, status)"
        " VALUES ('a', 't', 'k', '{}', 'pending'), ('b', 't', 'k', '{}', 'pending'), ('c', 't', 'k', '{}', 'dead')"
    )
    assert await pool.fetchval(QUERIES[name]) == 2
