"""The sums over the users of an experiment, of however many users."""

import msgspec
import pytest
from asyncpg import Pool

from app.adapters import experiments
from app.adapters.experiments import UserSums
from app.adapters.postgres import Database

USERS = (
    "INSERT INTO experiment_users (run, user_id, variant, exposed_at, shown, clicked, purchases, revenue, watch_sec) "
    "SELECT run, 'user-' || n, CASE n % 3 WHEN 0 THEN 'newer' ELSE 'control' END, now() - interval '9 days', "
    "20, n % 2, n % 4, n, n * 2 FROM experiments, generate_series(1, 10) AS s (n)"
)


async def test_sums_are_the_same_in_parts_and_are_kept_once(
    opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.execute(
        "INSERT INTO experiments (name, lists, definition, variants, window_days, buckets, ended_at) "
        "VALUES ('bold', 'reco', '{}', '{newer}', 1, '{}', now() - interval '1 hour')"
    )
    await pool.execute(USERS)
    async with opened.connection() as connection:
        for at_once in (200_000, 10, 3, 1):
            monkeypatch.setattr(experiments, "_USERS_AT_ONCE", at_once)
            await experiments.settle(connection)
            found = await pool.fetchval("SELECT totals::text FROM experiments")
            assert {one.variant: one for one in msgspec.json.decode(found, type=list[UserSums])} == {
                "control": UserSums(
                    variant="control", exposed=7, users=7, shown=140, clicked=3, shown_shown=2800, clicked_clicked=3,
                    clicked_shown=60, clickers=3, buyers=5, revenue=37, revenue_revenue=259, payers=7, watch_sec=74,
                    watch_watch=1036, watchers=7,
                ),
                "newer": UserSums(
                    variant="newer", exposed=3, users=3, shown=60, clicked=2, shown_shown=1200, clicked_clicked=2,
                    clicked_shown=40, clickers=2, buyers=3, revenue=18, revenue_revenue=126, payers=3, watch_sec=36,
                    watch_watch=504, watchers=3,
                ),
            }  # fmt: skip
            await pool.execute("UPDATE experiments SET totals = NULL")
        await experiments.settle(connection)
        kept = await pool.fetchval("SELECT totals::text FROM experiments")
        # Another process was about to keep them, while their users go.
        await pool.execute("DELETE FROM experiment_users")
        await connection.execute(experiments._SQL["keep_totals"], "bold", "[]")
        assert await pool.fetchval("SELECT totals::text FROM experiments") == kept
