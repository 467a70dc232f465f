"""Items with sums, as the consumer would have counted them."""

import time

import asyncpg


async def have_sums(pool: asyncpg.Pool, **popularity: float) -> None:
    """Stores an item with this popularity, by each half-life, for each name."""
    await pool.executemany(
        "INSERT INTO item_stats (item_id, popular_ms, popular_hours, popular_day, popular_week, frequency, events, "
        "users, first_ms) VALUES ($1, $2, $3, $3, $3, 1, 1, 1, $2)",
        [(item_id, time.time_ns() // 1_000_000, value) for item_id, value in popularity.items()],
    )
