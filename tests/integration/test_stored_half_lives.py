"""Sums with other half-lives than this release's: consumer, API and rebuild go by the stored ones."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import numpy as np
import pytest
from msgspec import json, structs

from app.adapters import building
from app.adapters.postgres import Database
from app.core.features import fold
from app.core.generation import RELEASE, encode_parameters, model_of
from app.core.messages import Message, decode_message
from app.core.model import MODEL, Model
from app.core.played_log import PlayedLog
from app.core.signals import DAY_MS, HOUR_MS
from app.core.weights import FIXED, size_of
from app.rebuilding.local_log import LocalLog
from app.rebuilding.rebuild import Rebuild
from app.settings import Settings
from tests.support.api import serving
from tests.support.rebuilding import assert_alike, generation, log, rebuilt, store_and_count, sums
from workers.batch import FeatureWriter

Pool = asyncpg.Pool

STORED: Final = structs.replace(
    RELEASE, popularity_half_lives_ms=(20 * HOUR_MS, 40 * DAY_MS, DAY_MS), covisitation_half_life_ms=3 * DAY_MS
)
COUNTED: Final = model_of(encode_parameters(STORED))
EVENTS: Final = log(2_000)


async def begin_with(pool: Pool, parameters: str) -> None:
    await pool.execute(
        "INSERT INTO feature_generations (generation, state, parameters) VALUES (1, 'serving', $1::text::jsonb)",
        parameters,
    )


def messages(events: Sequence[dict[str, Any]]) -> list[Message]:
    return [decode_message(json.encode(event)) for event in events]


def folded(model: Model) -> dict[str, Any]:
    """What the tables have to hold, as `sums` reads them."""
    found = fold(messages(EVENTS), {}, model)
    pairs = found.pairs.sums()
    ids = [(pairs.ids[one], pairs.ids[other]) for one, other in zip(pairs.one, pairs.other, strict=True)]
    return {
        "items": {
            item_id: [
                delta.popular_hours, delta.popular_day, delta.popular_week, delta.frequency, delta.repeat_weight,
                delta.events, delta.users, delta.first_ms, delta.popular_ms, delta.impressions, delta.views,
                delta.clicks, delta.purchases, delta.watches, delta.watch_ms, delta.other_events,
            ]
            for item_id, delta in found.items.items()
        },
        "pairs": dict(zip(ids, pairs.sums.tolist(), strict=True)),
        "histories": found.histories,
    }  # fmt: skip


def by_id(found: dict[str, Any]) -> dict[str, Any]:
    """With each pair in the order of the ids, as a fold has it; in a table the lesser key stands first."""
    pairs = {
        (min(ids), max(ids)): values if ids[0] < ids[1] else [*values[:2], values[3], values[2]]
        for ids, values in found["pairs"].items()
    }
    return {**found, "pairs": pairs}


async def test_other_stored_half_lives_are_those_that_the_consumer_counts_with(opened: Database, pool: Pool) -> None:
    await begin_with(pool, encode_parameters(STORED))
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), EVENTS)
    assert_alike(by_id(await sums(pool)), folded(COUNTED))


async def test_other_stored_half_lives_are_those_that_the_api_ranks_with(
    settings: Settings, opened: Database, pool: Pool
) -> None:
    await begin_with(pool, encode_parameters(STORED))
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), EVENTS)
    users = [f"user-{number}" for number in range(10)]
    async with serving(settings) as client:
        popular = (await client.get("/popular?k=20")).json()["items"]
        answers = [(await client.get(f"/reco?user_id={user}&k=10")).json()["items"] for user in users]
    by_stored, by_constants = played(COUNTED), played(MODEL)
    assert [item["item_id"] for item in popular] == popular_of(by_stored) != popular_of(by_constants)
    found = [[item["item_id"] for item in answer] for answer in answers]
    assert found == [recommended(by_stored, user) for user in users]
    assert found != [recommended(by_constants, user) for user in users]


def played(model: Model) -> PlayedLog:
    log = PlayedLog(model)
    log.learn(messages(EVENTS))
    return log


def popular_of(log: PlayedLog) -> list[str]:
    found = log.popular(log.table.log_ms)
    best = np.argsort(-found.by_half_life()[:, -1])[:20]  # by the week
    return [log.index.ids[number] for number in np.frombuffer(found.numbers, np.int32)[best]]


def recommended(log: PlayedLog, user: str) -> list[str]:
    candidates, items = log.candidates(user, now_ms=log.table.log_ms)
    return log.recommend(user, candidates, FIXED[size_of(items)], 10)


@pytest.mark.slow
async def test_rebuild_goes_on_with_the_half_lives_that_it_was_begun_with(
    database_url: str, opened: Database, pool: Pool
) -> None:
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), EVENTS)
    async with building.connection(database_url) as live:
        await Rebuild(database_url, live, log=LocalLog(), dedupe_days=30.0).begin(slices=1)
    # As a release with these constants leaves it.
    await pool.execute(
        "UPDATE feature_generations SET parameters = $1::text::jsonb WHERE state = 'building'",
        encode_parameters(STORED),
    )
    await rebuilt(database_url)
    assert await generation(pool) == 2
    assert_alike(by_id(await sums(pool)), folded(COUNTED))
