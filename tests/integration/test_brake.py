"""The brake: many messages that cannot be counted stop the consumer, unless their user's own rows are why."""

from typing import Any

import asyncpg
import pytest

from app import metrics
from app.adapters.postgres import Database
from app.core.brake import Brake
from app.core.messages import Message
from tests.support.consuming import incoming
from tests.support.pipeline import counted, letters, message
from workers import counting
from workers import incoming as incoming_module
from workers.applied import Applied
from workers.batch import Braked, FeatureWriter
from workers.incoming import Incoming

Pool = asyncpg.Pool


async def counted_views(pool: Pool) -> int:
    found: int = await pool.fetchval("SELECT coalesce(sum(views), 0)::int FROM item_stats")
    return found


async def refuse_history_of_ann(pool: Pool) -> None:
    """A trigger does, as a damaged row would."""
    await pool.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;"
        "CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON user_history FOR EACH ROW WHEN (NEW.user_id = 'ann') "
        "EXECUTE FUNCTION fail()"
    )


def of_users(*users: str) -> list[Incoming]:
    """An event of each of these users."""
    return [
        item
        for number, user in enumerate(users)
        for item in incoming(message(f"event-{number:04d}", user_id=user), key=user.encode(), first=number)
    ]


async def test_fold_with_a_bug_stops_after_ten_dead_letters_and_goes_on_once_it_is_mended(
    opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, applied = FeatureWriter(opened, max_retries=1, brake=Brake()), Applied()
    records = incoming(*(message(f"event-{number:04d}") for number in range(100)))
    with monkeypatch.context() as patch:
        patch.setattr(counting, "fold", _raise_key_error)
        for _ in range(2):
            with pytest.raises(Braked, match=r"KeyError in _raise_key_error, test_brake\.py:\d+"):
                await writer.apply(records[applied.done :], onto=applied)
            assert (applied.dead, applied.done, await letters(pool)) == (10, 10, 10)
    await writer.apply(records[applied.done :], onto=applied)
    assert (applied.counted, applied.dead, applied.done) == (90, 10, 100)
    assert await counted_views(pool) == 90


async def test_fold_with_a_bug_stops_after_ten_dead_letters_of_one_user(
    opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although others were counted just before: it would fail for them, too."""
    writer, applied = FeatureWriter(opened, max_retries=1, brake=Brake()), Applied()
    assert (await writer.apply(of_users("zoe"))).counted == 1
    monkeypatch.setattr(counting, "fold", _raise_key_error)
    records = incoming(*(message(f"event-{number:04d}") for number in range(100, 200)))
    with pytest.raises(Braked):
        await writer.apply(records, onto=applied)
    assert applied.dead == await letters(pool) == 10


async def test_fold_that_fails_for_some_messages_stops_after_fifty_of_the_last_thousand(
    opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "fold", failing_for_heat(counting.fold))
    writer, applied = FeatureWriter(opened, max_retries=1, brake=Brake()), Applied()
    with pytest.raises(Braked):
        await writer.apply(incoming(*with_heat(400)), onto=applied)
    assert applied.dead == await letters(pool) == 50


async def test_letters_that_are_stored_already_stop_nobody(
    opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when Kafka delivers all again, because the offsets of the group were lost."""
    monkeypatch.setattr(counting, "fold", failing_for_heat(counting.fold))
    first = await FeatureWriter(opened, max_retries=0).apply(incoming(*with_heat(100)))
    assert (first.counted, first.dead) == (75, 25)
    again = await FeatureWriter(opened, max_retries=0, brake=Brake()).apply(incoming(*with_heat(100)))
    assert (again.counted, again.duplicates, again.dead, again.done) == (0, 100, 0, 100)
    assert await letters(pool) == 25


def failing_for_heat(honest: Any) -> Any:
    def fold(messages: Any, histories: Any, model: Any, *, onto: Any) -> Any:
        if any(one.item_id == "heat" for one in messages):
            raise AttributeError("a bug")
        return honest(messages, histories, model, onto=onto)

    return fold


def with_heat(count: int) -> list[str]:
    return [message(f"event-{number:04d}", item_id="alien" if number % 4 else "heat") for number in range(count)]


async def test_decoder_with_a_bug_stops_as_the_fold_does(
    opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(incoming_module, "decode_message", _raise_key_error)
        records = incoming(*(message(f"event-{number:04d}") for number in range(20)))
    with pytest.raises(Braked):
        await FeatureWriter(opened, max_retries=1, brake=Brake()).apply(records)
    assert await letters(pool) == 10
    assert await pool.fetchval("SELECT DISTINCT error_kind FROM feature_consumer_dlq") == "data"


@pytest.mark.parametrize("before", [["bob"], []], ids=["others were counted", "after a restart"])
async def test_row_that_is_refused_costs_its_user_alone_however_much_that_user_does(
    opened: Database, pool: Pool, before: list[str]
) -> None:
    await refuse_history_of_ann(pool)
    writer, applied = FeatureWriter(opened, max_retries=3, brake=Brake()), Applied()
    retried = counted(metrics.CONSUMER_PROCESSED, status="retried")
    records = of_users(*before, *["ann"] * 60, *["cid", "ann"] * 10)
    await writer.apply(records, onto=applied)
    assert (applied.counted, applied.dead, applied.done) == (len(before) + 10, 70, len(records))
    assert counted(metrics.CONSUMER_PROCESSED, status="retried") == retried + 3, (
        "others wait for no retries of the same"
    )


async def test_refused_rows_of_two_users_in_turns_hold_up_nobody_else(opened: Database, pool: Pool) -> None:
    await refuse_history_of_ann(pool)
    await pool.execute(
        "CREATE TRIGGER bob BEFORE INSERT OR UPDATE ON user_history FOR EACH ROW WHEN (NEW.user_id = 'bob') "
        "EXECUTE FUNCTION fail()"
    )
    writer = FeatureWriter(opened, max_retries=1, brake=Brake())
    applied = await writer.apply(of_users(*["ann", "bob"] * 20, "cid"))
    assert (applied.counted, applied.dead) == (1, 40)


async def test_trying_a_message_as_another_users_leaves_nothing(opened: Database, pool: Pool) -> None:
    await refuse_history_of_ann(pool)
    writer = FeatureWriter(opened, max_retries=1, brake=Brake())
    tables = ("user_history", "item_stats", "item_pairs", "sessions", "user_links", "feature_changes")
    records = incoming(message("event-0001", anonymous_id="kiosk"))
    assert (await writer.apply(records)).dead == 1
    left = {table: await pool.fetchval(f"SELECT count(*) FROM {table}") for table in tables}
    assert left == {**dict.fromkeys(tables, 0), "item_stats": 1}, "the item's key alone is kept"
    assert await counted_views(pool) == await pool.fetchval("SELECT count(*) FROM feature_event_consumed") == 0


async def test_items_removed_before_the_trial_change_nobodys_blame(
    opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await refuse_history_of_ann(pool)
    writer, applied = FeatureWriter(opened, max_retries=0, brake=Brake()), Applied()
    on_trial = writer.counting.try_as_another_users

    async def after_a_removal(tried: Message) -> None:
        noted = "UPDATE feature_generations SET removals = removals + 1 WHERE state = 'serving'"
        assert await pool.execute(noted) == "UPDATE 1"
        await on_trial(tried)

    monkeypatch.setattr(writer.counting, "try_as_another_users", after_a_removal)
    first, *others = of_users("zoe", *["ann"] * 20)
    assert (await writer.apply([first])).counted == 1, "there are sums to remove items from"
    await writer.apply(others, onto=applied)
    assert applied.dead == 20


async def test_poison_that_nobody_can_read_never_stops(opened: Database, pool: Pool) -> None:
    writer = FeatureWriter(opened, max_retries=1, brake=Brake())
    assert (await writer.apply(incoming(*[b"{"] * 300))).dead == 300
    assert (await writer.apply(incoming(message("event-0001")))).counted == 1


def _raise_key_error(*_args: Any, **_named: Any) -> Any:
    raise KeyError("a bug")
