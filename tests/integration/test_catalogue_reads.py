"""What serving reads of the catalogue: popular, new and fallback items, servable ones only, all through an index."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest

from app.adapters import catalogue, features
from app.adapters.catalogue import StoredItem
from app.core.catalogue import UNKNOWN, Card
from app.core.model import MODEL
from tests.support.item_sums import have_sums

NOW: Final = datetime.now(UTC).replace(microsecond=0)
DAY: Final = timedelta(days=1)
YEAR: Final = timedelta(days=365)


def item(item_id: str, **changes: Any) -> StoredItem:
    row = {"title": None, "categories": ["film"], "tags": [], "published_at": None, "expires_at": None, "hidden": False}
    return StoredItem(item_id=item_id, **{**row, **changes})


SHOWN: Final = item("shown")
NOT_SERVED: Final = [
    item("hidden", hidden=True),
    item("expired", expires_at=NOW - DAY),
    item("coming", published_at=NOW + DAY),
]


async def have(pool: asyncpg.Pool, *items: StoredItem, came: datetime | None = None) -> None:
    """Stores the items; `came`: when they came into the catalogue, if not now."""
    async with pool.acquire() as connection:
        await catalogue.store(connection, items)
        if came is not None:
            ids = [entry.item_id for entry in items]
            await connection.execute("UPDATE items SET created_at = $2 WHERE item_id = ANY ($1)", ids, came)


async def count(pool: asyncpg.Pool, item_id: str, **sums: float) -> None:
    names = ", ".join(("item_id", *sums))
    places = ", ".join(f"${number}" for number in range(1, len(sums) + 2))
    await pool.execute(f"INSERT INTO item_stats ({names}) VALUES ({places})", item_id, *sums.values())


async def popular(pool: asyncpg.Pool, limit: int, category: str | None = None) -> set[str]:
    async with pool.acquire() as connection:
        return set(await features.read_popular(connection, limit, category, model=MODEL))


async def new(
    pool: asyncpg.Pool, category: str | None = None, since: datetime = NOW - DAY, limit: int = 10, newest: int = 100
) -> list[catalogue.NewItem]:
    async with pool.acquire() as connection:
        return await catalogue.read_new(connection, category, since, limit, newest=newest)


async def fallback(pool: asyncpg.Pool, category: str | None = None, limit: int = 10) -> list[str]:
    async with pool.acquire() as connection:
        return await catalogue.read_fallback(connection, category, limit)


async def test_a_card_has_what_was_stored(pool: asyncpg.Pool) -> None:
    published = datetime(2020, 1, 1, tzinfo=UTC)
    await have(pool, item("alien", title="Alien", categories=["film", "space"], tags=["1979"], published_at=published))
    async with pool.acquire() as connection:
        cards = await catalogue.read_cards(connection, ["alien", "heat"])
    assert cards == {
        "alien": Card(
            title="Alien",
            categories=frozenset({"film", "space"}),
            tags=frozenset({"1979"}),
            published_ms=1_577_836_800_000,
        )
    }
    assert UNKNOWN.servable(0, None)
    assert not UNKNOWN.servable(0, "film")


async def test_popular_items_are_read_by_category_and_overall(pool: asyncpg.Pool) -> None:
    await have(pool, SHOWN, item("other", categories=["book", "film"]), item("book", categories=["book"]), *NOT_SERVED)
    for rank, item_id in enumerate(("other", "shown", "book", "hidden", "expired", "coming", "unknown")):
        await have_sums(pool, **{item_id: 1.0 + rank})
    await have(pool, item("disliked"), item("met by nobody"))
    await have_sums(pool, disliked=-1.0)
    await pool.execute("UPDATE item_stats SET popular_ms = popular_ms + 1 WHERE item_id = 'disliked'")
    assert await popular(pool, 10, "film") == {"shown", "other"}
    assert await popular(pool, 1, "film") == {"shown"}
    assert await popular(pool, 10, "music") == set()
    # The last is the item of the latest event.
    assert await popular(pool, 2) == {"unknown", "book", "disliked"}
    assert await popular(pool, 10) == {"unknown", "book", "shown", "other", "disliked"}
    async with pool.acquire() as connection:
        found = await features.read_popular(connection, 2, model=MODEL, catalogue_only=True)
    # The most popular one, too: popularity is a share of its.
    assert set(found) == {"unknown", "book", "shown", "disliked"}


async def test_item_of_the_latest_event_is_read_also_when_it_is_hidden(pool: asyncpg.Pool) -> None:
    await have(pool, SHOWN, *NOT_SERVED)
    await have_sums(pool, shown=1.0, hidden=2.0)
    await pool.execute("UPDATE item_stats SET popular_ms = popular_ms + 1 WHERE item_id = 'hidden'")
    assert await popular(pool, 1) == {"shown", "hidden"}


async def test_popular_items_are_the_best_by_each_half_life(pool: asyncpg.Pool) -> None:
    day_ms = 86_400_000
    now = {"popular_ms": 100 * day_ms}
    await count(pool, "of the hour", **now, popular_hours=5.0, popular_day=1.0, popular_week=1.0)
    await count(pool, "of the day", **now, popular_hours=1.0, popular_day=5.0, popular_week=1.0)
    # Two days old: a quarter is left of what it was by the day, and more than half of what it was by the week.
    await count(pool, "of the week", popular_ms=98 * day_ms, popular_hours=9.0, popular_day=9.0, popular_week=9.0)
    await count(pool, "none", **now, popular_hours=1.0, popular_day=1.0, popular_week=1.0)
    await have(pool, *[item(name) for name in ("of the hour", "of the day", "of the week", "none")])
    assert await popular(pool, 1) - {"none"} == {"of the hour", "of the day", "of the week"}
    assert await popular(pool, 1, "film") == {"of the hour", "of the day", "of the week"}


async def test_popular_items_of_all_parts_are_compared(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys have gaps, and the last part may have a single item or none."""
    for rank in (3, 9, 1, 8, 2, 7, 4, 6, 5, 10):
        await have_sums(pool, **{f"item-{rank}": float(rank)})
        await pool.execute("SELECT nextval('item_stats_item_key_seq') FROM generate_series(1, 3)")
    await pool.execute("UPDATE item_stats SET popular_ms = 1000 + item_key")
    for size in (1, 2, 3, 4, 9, 10, 100):
        monkeypatch.setattr(features, "_PART", size)
        assert await popular(pool, 3) == {"item-8", "item-9", "item-10"}


async def test_popular_items_of_a_large_category_are_those_of_all_its_parts(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    day_ms = 86_400_000
    ranks = (3, 9, 1, 8, 2, 7, 4, 6, 5, 10)
    for rank in ranks:
        await count(pool, f"week-{rank}", popular_ms=98 * day_ms, popular_week=30.0 + rank)
        await count(pool, f"hour-{rank}", popular_ms=100 * day_ms, popular_hours=1.0 + rank)
        await pool.execute("SELECT nextval('item_stats_item_key_seq') FROM generate_series(1, 3)")
    await have_sums(pool, unknown=99.0, book=98.0)
    await have(pool, item("book", categories=["book"]), *NOT_SERVED)
    await have(pool, *(item(f"{name}-{rank}") for name in ("week", "hour") for rank in ranks))
    for size in (100, 20, 19, 7, 2, 1):
        monkeypatch.setattr(features, "_PART", size)
        monkeypatch.setattr(features, "_LARGE", size)
        assert await popular(pool, 2, "film") == {"week-9", "week-10", "hour-9", "hour-10"}
        assert await popular(pool, 50, "film") == {f"{name}-{rank}" for name in ("week", "hour") for rank in ranks}
        assert await popular(pool, 2, "music") == set()


async def test_new_items_are_those_published_or_come_lately_the_least_shown_first(pool: asyncpg.Pool) -> None:
    hour_ago = NOW - DAY / 24
    await have(pool, item("old"), item("renewed", published_at=NOW - 2 * DAY), came=NOW - YEAR)
    await have(pool, item("published", published_at=hour_ago), came=NOW - YEAR)
    await have(pool, item("came"), item("out of print", published_at=NOW - YEAR))
    await have(pool, item("book", categories=["book"]), *NOT_SERVED)
    await count(pool, "published", impressions=5, clicks=1, watches=2, purchases=4, views=8)
    await count(pool, "book", impressions=2)
    found = await new(pool)
    assert [(row.item_id, row.impressions, row.responses) for row in found] == [
        ("came", 0, 0),
        ("book", 2, 0),
        ("published", 5, 7),
    ]
    assert found[2].published_ms == int(hour_ago.timestamp() * 1000)
    assert [row.item_id for row in await new(pool, "film")] == ["came", "published"]
    assert [row.item_id for row in await new(pool, limit=1)] == ["came"]
    assert await new(pool, since=NOW + DAY) == []
    assert [row.item_id for row in await new(pool, newest=1)] == ["book"]


async def test_an_item_is_not_new_again_when_it_is_stored_again(pool: asyncpg.Pool) -> None:
    await have(pool, item("old"), came=NOW - YEAR)
    # As rows are from before the column came.
    await have(pool, item("older"))
    await pool.execute("UPDATE items SET created_at = NULL, updated_at = $1 WHERE item_id = 'older'", NOW - YEAR)
    assert await new(pool) == []
    await have(pool, item("old", title="Old"), item("older", title="Older"))
    assert await new(pool) == []
    assert [row.item_id for row in await new(pool, since=NOW - 2 * YEAR)] == ["old", "older"]


async def test_the_fallback_list_is_newest_first_then_uncatalogued_items(pool: asyncpg.Pool) -> None:
    await have(pool, item("old"), came=NOW - YEAR)
    await have(pool, item("older", published_at=NOW - 2 * YEAR), SHOWN, item("book", categories=["book"]), *NOT_SERVED)
    for item_id in ("unknown", "shown", "hidden", "unknown too"):
        await count(pool, item_id, views=1)
    await count(pool, "taken back", impressions=1)
    assert await fallback(pool, "film") == ["shown", "old", "older"]
    assert await fallback(pool, "film", 2) == ["shown", "old"]
    assert await fallback(pool) == ["book", "shown", "old", "older", "unknown too", "unknown"]
    assert await fallback(pool, limit=5) == ["book", "shown", "old", "older", "unknown too"]
    assert await fallback(pool, limit=3) == ["book", "shown", "old"]


# Statement → its arguments, and the index that it goes by.
STATEMENTS: Final[dict[str, tuple[str, tuple[Any, ...], str]]] = {
    "cards": (catalogue._SQL["read_cards"], (["i1", "i2"],), "items_pkey"),
    "popular of a category": (
        features._SQL["read_popular_of_category"],
        (500, *MODEL.popularity_half_lives_ms, "c1", 50_000),
        "items_categories",
    ),
    "popular of a part of a category": (
        features._SQL["read_popular_of_part"],
        (500, *MODEL.popularity_half_lives_ms, "c1", 19_001, 20_000, 1.0, 1.0, 1.0),
        "items_pkey",
    ),
    "new": (catalogue._SQL["read_new"], (NOW - DAY, 100, 5_000), "items_newest"),
    "new of a category": (
        catalogue._SQL["read_new_of_category"],
        (NOW - YEAR, 100, 5_000, "c1"),
        "items_categories",
    ),
    "content": (catalogue._SQL["read_content"], (["i1", "i2"], 5), "items_pkey"),
    "fallback": (catalogue._SQL["read_newest"], (2500,), "items_newest"),
    "fallback of a category": (catalogue._SQL["read_newest_of_category"], (2500, "c1"), "items_categories"),
}


@pytest.fixture
async def filled(pool: asyncpg.Pool) -> asyncpg.Pool:
    """20,000 items of the last 200 days in 1,000 categories."""
    await pool.execute(
        """INSERT INTO items (item_id, categories, created_at)
        SELECT 'i' || n, ARRAY['c' || n % 1000], now() - n * interval '864 s' FROM generate_series(1, 20000) AS n"""
    )
    await pool.execute(
        "INSERT INTO item_stats (item_id, popular_week) SELECT 'i' || n, n FROM generate_series(1, 20000) AS n"
    )
    await pool.execute("ANALYZE items, item_stats")
    return pool


async def test_catalogue_reads_go_by_index(filled: asyncpg.Pool) -> None:
    async with filled.acquire() as connection:
        for name, (statement, arguments, index) in STATEMENTS.items():
            rows = await connection.fetch("EXPLAIN " + statement, *arguments)
            plan = "\n".join(row[0] for row in rows)
            assert index in plan, f"{name}:\n{plan}"
            assert "Seq Scan" not in plan, f"{name}:\n{plan}"
