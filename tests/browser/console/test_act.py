"""What an operator does with ten thousand dead letters: scrolls, searches, opens, discards and replays."""

import psycopg
import pytest

from tests.browser.console.looking import await_text, click, fill, look, opened, press, text_of
from tests.support.chromium import Chromium, Tab
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


def rows(tab: Tab) -> int:
    return int(tab.run("document.querySelectorAll('tbody tr').length"))


def left(console: Service) -> dict[str, int]:
    with psycopg.connect(console.environment["DATABASE_URL"]) as database:
        found = database.execute("SELECT status, count(*) FROM feature_consumer_dlq GROUP BY status").fetchall()
    return dict(found)


def test_dead_letters_are_scrolled_searched_opened_and_resolved(
    console: Service, browser: Chromium, axe: str, poison: int
) -> None:
    tab = opened(browser, console, view="act")
    await_text(tab, f"{poison:,} found")
    eventually(lambda: rows(tab) == 100)
    for page in range(2, 6):
        tab.run("document.querySelector('.scroll').scrollTop = 1e9")
        eventually(lambda page=page: rows(tab) >= 100 * page, describe=lambda: rows(tab))
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
