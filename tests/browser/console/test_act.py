"""What an operator does with ten thousand dead letters: scrolls, searches, opens, discards and replays."""

import re

import psycopg
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.console.looking import WIDTHS, await_text, click, field, look, named, opened, text_of
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


MOST_ROWS = 102
"""Of the page, with those that keep the space of the others."""


def loaded(page: Page, matching: int) -> int:
    """How many rows the page has; it does not say so once it has all."""
    said = re.search(r"([\d,]+) are loaded", text_of(page))
    return matching if said is None else int(said[1].replace(",", ""))


def left(console: Service) -> dict[str, int]:
    with psycopg.connect(console.environment["DATABASE_URL"]) as database:
        found = database.execute("SELECT status, count(*) FROM feature_consumer_dlq GROUP BY status").fetchall()
    return dict(found)


def test_dead_letters_are_scrolled_searched_opened_and_resolved(
    console: Service, context: BrowserContext, axe: str, poison: int
) -> None:
    page = opened(context, console, view="act")
    await_text(page, f"{poison:,} found")
    rows, table = page.locator("tbody tr"), page.get_by_role("region", name="What was found")
    expect(rows.first).to_be_visible()
    assert rows.count() <= MOST_ROWS
    for many in range(200, poison + 1, 200):
        eventually(lambda many=many: loaded(page, poison) >= many, describe=lambda: text_of(page)[:400])
        table.evaluate("table => { table.scrollTop = 1e9 }")
    expect(page.locator(f"[aria-rowindex='{poison + 1}']")).to_be_visible()
    assert rows.count() <= MOST_ROWS
    table.evaluate("table => { table.scrollTop = 0 }")
    expect(page.locator("[aria-rowindex='2']")).to_be_visible()
    field(page, "event_id").fill("poison-7")
    page.keyboard.press("Enter")
    await_text(page, "1 found")
    field(page, "event_id").fill("")
    field(page, "error").fill("expected str")
    page.keyboard.press("Enter")
    await_text(page, f"{poison // 2:,} found")
    rows.get_by_role("button").first.click()
    await_text(page, "item_id: expected str")
    await_text(page, "Payload")
    look(page, axe, "act-opened")
    click(page, "Close")
    for number in range(2):
        rows.get_by_role("checkbox").nth(number).check()
    await_text(page, "2 chosen")
    click(page, "Discard chosen")
    field(page, "reason").fill("made by a test")
    look(page, axe, "act-discard")
    page.keyboard.press("Enter")
    await_text(page, "2 discarded.")
    assert left(console) == {"pending": poison - 2, "discarded": 2}
    click(page, "Replay all found")
    await_text(page, f"{poison // 2 - 2:,} will be sent again")
    click(page, f"Replay {poison // 2 - 2:,}")
    await_text(page, f"{poison // 2 - 2:,} sent again.", 60.0)
    eventually(lambda: left(console).get("replayed") == poison // 2 - 2, describe=lambda: text_of(page))
    with psycopg.connect(console.environment["DATABASE_URL"]) as database:
        audited = database.execute("SELECT count(*) FROM audit_log WHERE action = 'replay_messages'").fetchone()
    assert audited == (10,)


@pytest.mark.parametrize("poison", [100_001], indirect=True)
def test_more_than_are_counted_are_not_called_a_number(console: Service, context: BrowserContext, poison: int) -> None:
    assert poison > 100_000
    page = opened(context, console, view="act")
    await_text(page, "100,000 or more found")
    click(page, "Replay all found")
    await_text(page, "100,000 or more will be sent again")
    expect(named(page, "Replay 100,000 or more")).to_be_visible()


LONG = """
INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, value, header_names, header_values,
    event_id, error_kind, error, attempts)
VALUES ('recsys.interactions.v1', 0, 1, 1, convert_to(%s, 'UTF8'), '{}', '{}', 'long-1', 'data', 'user_id: expected', 1)
"""


def test_opened_message_has_all_bytes_and_its_numbers_as_they_were_sent(
    console: Service, context: BrowserContext
) -> None:
    text = '{"user_id": 12345678901234567890, "note": "' + "x" * 2000 + '"}'
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        database.execute(LONG, [text])
        page = opened(context, console, view="act")
        # Letters that another test replayed may still come back.
        field(page, "event_id").fill("long-1")
        page.keyboard.press("Enter")
        page.get_by_role("row").filter(has_text="user_id: expected").get_by_role("button").click()
        await_text(page, '"user_id": 12345678901234567890,')
        assert f"Bytes, {len(text):,}" in text_of(page)
        dump = page.locator("pre.bytes")
        assert len(dump.inner_text().splitlines()) == -(-len(text) // 16)
        page.set_viewport_size({"width": WIDTHS["phone"], "height": 800})
        assert dump.evaluate("dump => dump.scrollWidth > dump.clientWidth")  # each line is one line
        database.execute("DELETE FROM feature_consumer_dlq WHERE event_id = 'long-1'")
