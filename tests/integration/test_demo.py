"""The demo's log: its times end today, and stay where they were first put."""

import threading
import time

import psycopg
import pytest

from app.commands.dev import example_ids
from app.importing import demo
from app.importing.demo import load_demo
from tests.support.database import ask, stored
from tests.support.sample import SAMPLE_ROWS


def test_the_demo_ends_today_and_stays_where_it_was_first_put(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    day_ms = 24 * 3600 * 1000
    now_ms = time.time_ns() // 1_000_000
    load_demo(database_url)
    assert stored(database_url) == (SAMPLE_ROWS, SAMPLE_ROWS)
    last = ask(database_url, "SELECT max(ts_ms) FROM events")
    assert now_ms - day_ms - 60_000 < last <= time.time_ns() // 1_000_000
    later = time.time_ns() + 40 * day_ms * 1_000_000
    monkeypatch.setattr(demo.time, "time_ns", lambda: later)
    load_demo(database_url)
    assert stored(database_url) == (SAMPLE_ROWS, SAMPLE_ROWS)
    assert ask(database_url, "SELECT max(ts_ms) FROM events") == last
    assert "0 of them new" in capsys.readouterr().err
    assert threading.active_count() == 1


def test_the_example_of_the_banner_is_a_user_and_an_item_of_the_demo(database_url: str) -> None:
    assert example_ids(database_url) == ("u1", "i1")
    load_demo(database_url)
    user_id, item_id = example_ids(database_url)
    assert ask(database_url, f"SELECT count(*) FROM events WHERE user_id = '{user_id}'") > 0
    assert ask(database_url, f"SELECT count(*) FROM events WHERE payload ->> 'item_id' = '{item_id}'") > 1


def test_an_interrupted_demo_import_continues_with_the_same_shift(database_url: str) -> None:
    load_demo(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE events SET ts_ms = ts_ms - 86400000 * 5")
        connection.execute("DELETE FROM events WHERE ts_ms > (SELECT min(ts_ms) + 86400000::bigint * 100 FROM events)")
        connection.execute("DELETE FROM event_outbox")
    last = ask(database_url, "SELECT max(ts_ms) FROM events")
    load_demo(database_url)
    assert stored(database_url)[0] == SAMPLE_ROWS
    assert ask(database_url, "SELECT max(ts_ms) - min(ts_ms) FROM events") == 1_323_435_000_000 - 1_291_192_440_000
    assert ask(database_url, "SELECT max(ts_ms) FROM events") > last
