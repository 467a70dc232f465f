"""What an operator does with ten thousand dead letters: scrolls, searches, opens, discards and replays."""

import re

import psycopg
import pytest

from tests.browser.console.looking import await_text, click, fill, look, opened, press, shown, text_of
from tests.support.chromium import Chromium, Tab
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


MOST_ROWS = 102
"""Of the page, with those that keep the space of the others."""


def rows(tab: Tab) -> int:
    return int(tab.run("document.querySelectorAll('tbody tr').length"))


def loaded(tab: Tab, matching: int) -> int:
    """How many rows the page has; it does not say so once it has all."""
    said = re.search(r"([\d,]+) are loaded", text_of(tab))
    return matching if said is None else int(said[1].replace(",", ""))


def left(console: Service) -> dict[str, int]:
    with psycopg.connect(console.environment["DATABASE_URL"]) as database:
        found = database.execute("SELECT status, count(*) FROM feature_consumer_dlq GROUP BY status").fetchall()
    return dict(found)


def test_dead_letters_are_scrolled_searched_opened_and_resolved(
    console: Service, browser: Chromium, axe: str, poison: int
) -> None:
    tab = opened(browser, console, view="act")
    await_text(tab, f"{poison:,} found")
    eventually(lambda: 0 < rows(tab) <= MOST_ROWS)
    last = f"[aria-rowindex='{poison + 1}']"
    for page in range(poison // 200):
        eventually(lambda page=page: loaded(tab, poison) >= 200 * (page + 1), describe=lambda: text_of(tab)[:400])
        tab.run("document.querySelector('.scroll').scrollTop = 1e9")
    eventually(lambda: shown(tab, last))
    assert rows(tab) <= MOST_ROWS
    tab.run("document.querySelector('.scroll').scrollTop = 0")
    eventually(lambda: shown(tab, "[aria-rowindex='2']"))
    fill(tab, "input[name=event_id]", "poison-7")
    press(tab, "Enter")
    await_text(tab, "1 found")
    fill(tab, "input[name=event_id]", "")
    fill(tab, "input[name=error]", "expected str")
    press(tab, "Enter")
    await_text(tab, f"{poison // 2:,} found")
    tab.run("document.querySelector('tbody button').click()")
    await_text(tab, "item_id: expected str")
    await_text(tab, "Payload")
    look(tab, axe, "act-opened")
    click(tab, "Close")
    tab.run("[...document.querySelectorAll('tbody input')].slice(0, 2).forEach(box => box.click())")
    await_text(tab, "2 chosen")
    click(tab, "Discard chosen")
    fill(tab, "input[name=reason]", "made by a test")
    look(tab, axe, "act-discard")
    press(tab, "Enter")
    await_text(tab, "2 discarded.")
    assert left(console) == {"pending": poison - 2, "discarded": 2}
    click(tab, "Replay all found")
    await_text(tab, f"{poison // 2 - 2:,} will be sent again")
    click(tab, f"Replay {poison // 2 - 2:,}")
    await_text(tab, f"{poison // 2 - 2:,} sent again.", 60.0)
    eventually(lambda: left(console).get("replayed") == poison // 2 - 2, describe=lambda: text_of(tab))
    with psycopg.connect(console.environment["DATABASE_URL"]) as database:
        audited = database.execute("SELECT count(*) FROM audit_log WHERE action = 'replay_messages'").fetchone()
    assert audited == (10,)


@pytest.mark.parametrize("poison", [100_001], indirect=True)
def test_more_than_are_counted_are_not_called_a_number(console: Service, browser: Chromium, poison: int) -> None:
    assert poison > 100_000
    tab = opened(browser, console, view="act")
    await_text(tab, "100,000 or more found")
    click(tab, "Replay all found")
    await_text(tab, "100,000 or more will be sent again")
    assert "Replay 100,000 or more" in text_of(tab)


LONG = """
INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, value, header_names, header_values,
    event_id, error_kind, error, attempts)
VALUES ('recsys.interactions.v1', 0, 1, 1, convert_to(%s, 'UTF8'), '{}', '{}', 'long-1', 'data', 'user_id: expected', 1)
"""


def test_opened_message_has_all_bytes_and_its_numbers_as_they_were_sent(console: Service, browser: Chromium) -> None:
    text = '{"user_id": 12345678901234567890, "note": "' + "x" * 2000 + '"}'
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        database.execute(LONG, [text])
        tab = opened(browser, console, view="act")
        await_text(tab, "1 found")
        tab.run("document.querySelector('tbody button').click()")
        await_text(tab, '"user_id": 12345678901234567890,')
        assert f"Bytes, {len(text):,}" in text_of(tab)
        (bytes_,) = (one for one in tab.run("[...document.querySelectorAll('pre')].map(one => one.innerText)")[-1:])
        assert len(bytes_.splitlines()) == -(-len(text) // 16)
        database.execute("DELETE FROM feature_consumer_dlq WHERE event_id = 'long-1'")
