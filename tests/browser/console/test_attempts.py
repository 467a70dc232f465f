"""The errors of a message that fails, is replayed, and fails again."""

import socket

import psycopg
import pytest
from playwright.sync_api import BrowserContext

from tests.browser.console.looking import await_text, click, look, opened
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow

NO_JSON = """
INSERT INTO event_outbox (event_id, topic, message_key, payload)
VALUES ('no-json', 'recsys.interactions.v1', 'ann', 'no JSON')
"""


def test_replayed_letter_that_fails_again_shows_the_errors_of_both_times(
    console: Service, context: BrowserContext, axe: str
) -> None:
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        database.execute(NO_JSON)

        def letters() -> list[tuple[str, int]]:
            found = database.execute("SELECT status, replays FROM feature_consumer_dlq ORDER BY id").fetchall()
            return [(status, replays) for status, replays in found]

        eventually(lambda: letters() == [("pending", 0)], describe=letters)
        page = opened(context, console, view="act")
        await_text(page, "1 found")
        click(page, "Replay all found")
        click(page, "Replay 1")
        await_text(page, "1 sent again.")
        eventually(lambda: letters() == [("replayed", 1), ("pending", 1)], describe=letters)
    click(page, "Search")
    await_text(page, "1 found")
    page.locator("tbody").get_by_role("button").click()
    await_text(page, "Attempts")
    attempts = page.get_by_role("list", name="Attempts").get_by_role("listitem").all_inner_texts()
    assert ["after a replay" in attempt for attempt in attempts] == [True, False]
    process = f"{socket.gethostname()}-{console.client.get('/readyz').json()['process']['pid']}"
    assert all(process in attempt for attempt in attempts)
    look(page, axe, "act-attempts")
