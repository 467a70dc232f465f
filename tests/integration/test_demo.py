"""The demo's log: its times end today, and stay where they were first put."""

import threading

import psycopg
import pytest

from app.clock import clock
from app.commands.dev import example_ids
from app.demo import shop
from app.demo.load import load_demo
from app.demo.purchases import SAMPLE
from app.demo.visits import experiment_users, visits
from tests.support.database import ask, stored
from tests.support.sample import SAMPLE_ROWS

LINES = shop.read_lines(SAMPLE)
MADE_UP = visits(LINES, LINES[-1].at)
ALL = SAMPLE_ROWS + len(MADE_UP)


@pytest.mark.slow
def test_the_demo_ends_today_and_stays_where_it_was_first_put(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    day_ms = 24 * 3600 * 1000
    now_ms, threads = clock.host_ms(), set(threading.enumerate())
    load_demo(database_url)
    assert stored(database_url) == (ALL, ALL)
    last = ask(database_url, "SELECT max(ts_ms) FROM events")
    assert now_ms - day_ms - 60_000 < last <= clock.host_ms()
    later_ms = clock.host_ms() + 40 * day_ms
    monkeypatch.setattr(clock, "host_ms", lambda: later_ms)
    load_demo(database_url)
    assert stored(database_url) == (ALL, ALL)
    assert ask(database_url, "SELECT max(ts_ms) FROM events") == last
    assert "0 of them new" in capsys.readouterr().err
    assert set(threading.enumerate()) <= threads


def test_the_example_of_the_banner_is_a_user_and_an_item_of_the_demo(database_url: str) -> None:
    assert example_ids(database_url) == ("u1", "i1")
    load_demo(database_url)
    user_id, item_id = example_ids(database_url)
    assert ask(database_url, f"SELECT count(*) FROM events WHERE user_id = '{user_id}'") > 0
    assert ask(database_url, f"SELECT count(*) FROM events WHERE payload ->> 'item_id' = '{item_id}'") > 1


@pytest.mark.slow
def test_an_interrupted_demo_import_continues_with_the_same_shift(database_url: str) -> None:
    load_demo(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE events SET ts_ms = ts_ms - 86400000 * 5")
        connection.execute("DELETE FROM events WHERE ts_ms > (SELECT min(ts_ms) + 86400000::bigint * 100 FROM events)")
        connection.execute("DELETE FROM event_outbox")
        connection.execute("DELETE FROM events WHERE event_id LIKE 'demo-%'")
        for table in ("experiment_users", "experiments", "serving_rules"):
            connection.execute(f"DELETE FROM {table}")
    last = ask(database_url, "SELECT max(ts_ms) FROM events")
    load_demo(database_url)
    assert stored(database_url)[0] == ALL
    assert ask(database_url, "SELECT max(ts_ms) - min(ts_ms) FROM events") == 1_323_435_000_000 - 1_291_192_440_000
    assert ask(database_url, "SELECT max(ts_ms) FROM events") > last


def test_made_up_visits_are_the_same_each_time_and_leave_cold_items_cold() -> None:
    again = visits(LINES, LINES[-1].at)
    assert [event.event_id for event in again] == [event.event_id for event in MADE_UP]
    assert again == MADE_UP
    assert not {"22085"} & {getattr(event, "item_id", None) for event in MADE_UP}
    users = experiment_users(MADE_UP)
    clicks = {side: sum(user.clicked for user in users if user.variant == side) for side in ("control", "latest")}
    assert clicks["latest"] > 1.2 * clicks["control"]


@pytest.mark.slow
def test_an_experiment_that_somebody_runs_stays_as_it_is(database_url: str) -> None:
    load_demo(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM events WHERE event_id LIKE 'demo-%'")
        connection.execute("UPDATE experiments SET name = 'mine', ended_at = NULL")
    load_demo(database_url)
    assert ask(database_url, "SELECT array_agg(name) FROM experiments") == ["mine"]
