"""The versions of the ranking's weights in Postgres, and `reco model` on them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner

from app.adapters import changes, experiments, ranking_models
from app.adapters.postgres import Database
from app.adapters.ranking_models import NoSuchModel
from app.cli import main
from app.core.experiments import ExperimentBody, VariantBody
from app.core.named_weights import from_named, named
from app.core.weights import FEATURES, FIXED, START, Weights
from tests.support.pipeline import keeping
from workers.maintenance import Maintenance

Pool = asyncpg.Pool
LEARNED = named(START)


async def reco_model(database_url: str, *arguments: str, exits: int = 0) -> str:
    """In a thread: the command runs an event loop of its own."""
    runner = CliRunner(env={"DATABASE_URL": database_url})
    done = await asyncio.to_thread(runner.invoke, main, ["model", *arguments])
    assert done.exit_code == exits, done.output
    return done.output


async def refused(database_url: str, *arguments: str) -> str:
    return await reco_model(database_url, *arguments, exits=2)


async def actions(pool: Pool) -> list[tuple[str, str]]:
    rows = await pool.fetch("SELECT targets, outcome FROM audit_log WHERE action = 'change_model' ORDER BY recorded_at")
    return [(row[0][0], row[1]) for row in rows]


async def announced(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM feature_changes WHERE item_ids = $1", [changes.MODEL_CHANGED]))


async def promoted(pool: Pool, instead_of: int, figures: str = "{}") -> int | None:
    async with pool.acquire() as connection:
        return await ranking_models.promote(
            connection, LEARNED, "it is better", figures, instead_of=instead_of, actor="learner"
        )


async def rolled_back(pool: Pool, version: int) -> int | None:
    async with pool.acquire() as connection:
        return await ranking_models.roll_back(connection, "it is worse", of=version, actor="learner")


async def test_new_database_serves_the_constants(pool: Pool) -> None:
    async with pool.acquire() as connection:
        served = await ranking_models.read_served(connection)
        assert await ranking_models.read_before(connection, served.version) is None
    assert (served.version, served.origin, served.pinned) == (1, "start", False)
    assert (from_named(served.weights) == FIXED).all()
    # Also by those that are younger than the migration that stores version 1.
    assert served.weights == named(FIXED)


async def test_promotion_and_rollback_are_announced_and_recorded(pool: Pool) -> None:
    assert await promoted(pool, instead_of=1) == 2
    async with pool.acquire() as connection:
        served = await ranking_models.read_served(connection)
        assert (served.version, served.origin, served.reason) == (2, "learned", "it is better")
        assert served.weights == LEARNED
    assert await announced(pool) == 2  # that there is another version, and that it serves
    assert await rolled_back(pool, 2) == 1
    assert await announced(pool) == 3
    assert await actions(pool) == [("2", "stored"), ("2", "promoted"), ("1", "rolled_back")]


async def test_rollback_passes_over_versions_that_were_rolled_back(pool: Pool) -> None:
    assert await promoted(pool, instead_of=1) == 2
    assert await promoted(pool, instead_of=2) == 3
    assert await rolled_back(pool, 3) == 2
    assert await promoted(pool, instead_of=2) == 4
    assert await rolled_back(pool, 4) == 2
    assert await rolled_back(pool, 2) == 1
    assert await rolled_back(pool, 1) is None


async def test_rollback_goes_to_what_served_last_before(pool: Pool, database_url: str) -> None:
    """By time, not by number: an operator served an older version for a while."""
    assert await promoted(pool, instead_of=1) == 2
    assert await promoted(pool, instead_of=2) == 3
    await reco_model(database_url, "pin", "2")
    async with pool.acquire() as connection:
        before = await ranking_models.read_before(connection, 2)
        assert before is not None
        assert before.version == 3
    assert "Version 3 serves" in await reco_model(database_url, "rollback")
    await reco_model(database_url, "promote", "2")
    await reco_model(database_url, "unpin")
    assert await promoted(pool, instead_of=2) == 4
    assert await rolled_back(pool, 4) == 2


async def test_rollback_of_a_version_that_no_longer_serves_is_refused(pool: Pool, database_url: str) -> None:
    """As that of a second operator, who saw the same version."""
    assert await promoted(pool, instead_of=1) == 2
    assert await promoted(pool, instead_of=2) == 3
    assert "Version 2 serves" in await reco_model(database_url, "rollback", "3")
    message = await refused(database_url, "rollback", "3")
    assert "version 2 serves by now, not version 3, so that nothing was changed" in message
    async with pool.acquire() as connection:
        assert (await ranking_models.read_served(connection)).version == 2


async def test_constants_that_a_release_has_changed_become_a_version(pool: Pool) -> None:
    async def to_constants(constants: Weights, version: int) -> int | None:
        async with pool.acquire() as connection:
            return await ranking_models.roll_back_to_constants(
                connection, constants, "it is worse", of=version, actor="learner"
            )

    assert await promoted(pool, instead_of=1) == 2
    assert await to_constants(FIXED, 1) is None  # another one serves
    assert await to_constants(FIXED, 2) == 1
    assert await to_constants(2.0 * FIXED, 1) == 3
    assert await promoted(pool, instead_of=3) == 4
    assert await to_constants(2.0 * FIXED, 4) == 3
    async with pool.acquire() as connection:
        served = await ranking_models.read_served(connection)
        assert (await ranking_models.read_model(connection, 4)).withdrawn_at is not None
    assert (served.version, served.origin) == (3, "start")
    assert served.reason == "version 4 was rolled back: it is worse"
    assert (from_named(served.weights) == 2.0 * FIXED).all()


async def test_late_decision_about_another_version_changes_nothing(pool: Pool) -> None:
    assert await promoted(pool, instead_of=7) is None
    assert await rolled_back(pool, 7) is None
    assert await pool.fetchval("SELECT count(*) FROM ranking_models") == 1


async def test_only_the_newest_learned_versions_are_kept(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking_models, "KEEP", 3)
    for version in range(1, 8):
        assert await promoted(pool, instead_of=version) == version + 1
    async with pool.acquire() as connection:
        kept = [one.version for one in await ranking_models.read_models(connection, 100)]
        with pytest.raises(NoSuchModel):
            await ranking_models.read_model(connection, 3)
    assert kept == [8, 7, 6, 1]


async def test_versions_that_something_names_are_kept(
    opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting VARIANTS of a process that ran of late, and experiments, also those that have ended."""
    for version in range(1, 6):
        await promoted(pool, instead_of=version)
    monkeypatch.setattr(ranking_models, "KEEP", 3)
    await Maintenance(opened, None, keeping(), counted_within_sec=900.0, named_models=[2, 3, 99]).note_named_models()
    variants = [VariantBody(name="same", share=0.1), VariantBody(name="older", share=0.1, model=4)]
    body = ExperimentBody(name="older", hypothesis="it is as good", variants=variants, primary="ctr")
    async with pool.acquire() as connection:
        await experiments.start(connection, body)
        await experiments.stop(connection, "older", None)
    await pool.execute("UPDATE ranking_models SET named_at = now() - interval '31 days' WHERE version = 3")
    for version in range(6, 9):
        assert await promoted(pool, instead_of=version) == version + 1
    assert await pool.fetchval("SELECT array_agg(version ORDER BY version) FROM ranking_models") == [1, 2, 4, 7, 8, 9]


@pytest.mark.shows("reco model promote", "reco model rollback", "reco model pin", "reco model unpin")
async def test_operator_decides_what_serves(pool: Pool, database_url: str) -> None:
    await promoted(pool, instead_of=1)
    await reco_model(database_url, "promote", "1", "--reason", "the new one looks odd")
    async with pool.acquire() as connection:
        assert (await ranking_models.read_served(connection)).reason == "the new one looks odd"
    await reco_model(database_url, "pin", "2")
    assert await rolled_back(pool, 2) is None  # the learner may not
    assert "Version 1 serves" in await reco_model(database_url, "rollback")
    assert await promoted(pool, instead_of=1) is None
    await reco_model(database_url, "unpin")
    assert "Nothing served before version 1" in await reco_model(database_url, "rollback")
    assert await promoted(pool, instead_of=1) is None
    await reco_model(database_url, "unpin")
    assert await promoted(pool, instead_of=1) == 3
    assert "there is no version 99" in await refused(database_url, "promote", "99")
    assert "Version 3 serves until" in await reco_model(database_url, "pin")


async def test_promoted_version_keeps_the_pin_of_a_rollback_and_the_command_says_so(
    pool: Pool, database_url: str
) -> None:
    await promoted(pool, instead_of=1)
    assert "The learner may replace it" in await reco_model(database_url, "promote", "2")
    await reco_model(database_url, "rollback")
    said = await reco_model(database_url, "promote", "2")
    assert "until `reco model unpin`" in said
    assert "The learner may replace it" not in said
    assert await promoted(pool, instead_of=2) is None
    await reco_model(database_url, "unpin")
    assert "The learner may replace it" in await reco_model(database_url, "promote", "1")
    assert await promoted(pool, instead_of=1) == 3


@pytest.mark.shows("reco model list", "reco model show", "reco model diff")
async def test_versions_are_shown_with_their_figures(pool: Pool, database_url: str) -> None:
    one = {"tests": 500, "hit_rate": 0.5, "ndcg": 0.25, "mrr": 0.2}
    await promoted(pool, instead_of=1, figures=json.dumps({"learned": {"all": one, "new": one}}))
    listed = await reco_model(database_url, "list")
    assert "0.2500" in listed
    assert "version 2 serves since " in listed
    rows = [json.loads(line) for line in (await reco_model(database_url, "list", "--json")).splitlines()]
    assert [row["version"] for row in rows] == [2, 1]
    shown = await reco_model(database_url, "show")
    assert "version 2 (learned)" in shown
    assert "learned, new to the user" in shown
    assert all(name in shown for name in FEATURES)
    assert json.loads(await reco_model(database_url, "show", "1", "--json"))["origin"] == "start"
    difference = await reco_model(database_url, "diff", "1", "2")
    assert "+0.190" in difference  # own_age of who has 1 or 2 items
    # Version 1 names no weights of content, and is ranked by those that learning starts from.
    assert "content" not in difference
    assert "the same weights" in await reco_model(database_url, "diff", "1", "1")


@pytest.mark.parametrize("number", ["0", "-3", "99999999999"])
@pytest.mark.parametrize("command", ["show", "promote", "rollback", "pin", "diff 1"])
async def test_number_that_no_version_has_is_refused(database_url: str, command: str, number: str) -> None:
    message = await refused(database_url, *command.split(), "--", number)
    assert "is not in the range 1<=x<=2147483647" in message


@pytest.mark.parametrize(
    ("figures", "path"),
    [
        ([], "$.figures: Expected `object`"),
        ({"learned": 5}, "$.figures: Expected `object`"),
        ({"served": {"all": {}}}, "$.figures: Object missing required field"),
    ],
)
async def test_figures_that_could_not_be_listed_are_refused(
    pool: Pool, database_url: str, tmp_path: Path, figures: Any, path: str
) -> None:
    file = tmp_path / "weights.json"
    file.write_text(json.dumps({"weights": {"similar": [1, 1, 1, 1]}, "figures": figures}))
    assert path in await refused(database_url, "import", str(file))
    assert await pool.fetchval("SELECT count(*) FROM ranking_models") == 1


@pytest.mark.shows("reco model import")
async def test_saved_weights_become_a_version_that_the_learner_goes_on_from(
    pool: Pool, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "weights.json"
    saved: dict[str, Any] = {"weights": {"similar": [2, 2, 2, 2.5]}, "figures": {}}
    file.write_text(json.dumps(saved))
    assert "Version 2 is stored" in await reco_model(database_url, "import", str(file))
    async with pool.acquire() as connection:
        assert (await ranking_models.read_served(connection)).version == 1
        assert (await ranking_models.read_learner(connection)).start_from is None
        weights = from_named((await ranking_models.read_model(connection, 2)).weights)
        assert (weights[:, FEATURES.index("similar")] == [2, 2, 2, 2.5]).all()
        assert (weights[:, 0] == START[:, 0]).all()
        await reco_model(database_url, "import", str(file), "--learn-on")
        learner = await ranking_models.read_learner(connection)
        assert (learner.restarts, learner.start_from) == (1, 3)
        assert not await ranking_models.save_learner(connection, 0, b"old", b"{}")
    log = tmp_path / "log.csv"
    times = range(1_700_000_000, 1_700_100_000, 100)
    log.write_text("user,item,ts\n" + "".join(f"u{ts % 37},i{ts % 11},{ts}\n" for ts in times))
    options = ("--event-type", "view", "--last", "0.2", "--save-weights", str(file))
    await asyncio.to_thread(CliRunner().invoke, main, ["evaluate", str(log), *options])
    assert "Version 4 is stored" in await reco_model(database_url, "import", str(file))
    assert "learned, new to the user" in await reco_model(database_url, "show", "4")
    assert "weights.json" in await reco_model(database_url, "list")
    saved["weights"] = {"similar": [1, 2, 3], "charm": [1, 1, 1, 1]}
    file.write_text(json.dumps(saved))
    message = await refused(database_url, "import", str(file))
    assert "$.weights.similar: expected 4 numbers" in message
    assert "$.weights.charm: no such feature" in message


async def test_import_says_what_else_ranks_and_keeps_nothing_that_it_does_not_know(
    pool: Pool, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "weights.json"
    figures = {"tests": 1, "hit_rate": 0.5, "ndcg": 0.5, "mrr": 0.5}
    both = {"all": figures, "new": figures, "note": "\0"}
    file.write_text(json.dumps({"weights": {"similar": [1, 1, 1, 1]}, "figures": {"learned": both, "mine\0": both}}))
    output = await reco_model(database_url, "import", str(file))
    assert "does not name weigh as learning starts: popular_hours, " in output
    shown = json.loads(await reco_model(database_url, "show", "2", "--json"))
    assert shown["weights"] == named(START) | {"similar": [1.0] * 4}
    assert shown["figures"] == {"learned": {"all": figures, "new": figures}}
    file.write_text("[" * 100_000)
    assert "nested too deeply" in await refused(database_url, "import", str(file))
