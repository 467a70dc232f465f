"""What a person does who has no mouse: every view, and an act from its search to its end."""

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.console.looking import await_text, field, from_top, named, opened, tab_to, views
from tests.support.service import Service

pytestmark = pytest.mark.slow


def test_keyboard_reaches_every_view(console: Service, context: BrowserContext) -> None:
    page = opened(context, console)
    from_top(page)
    assert tab_to(page, "Skip to the content") == 1
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for label in views(page):
        from_top(page)
        tab_to(page, label)
        page.keyboard.press("Enter")
        expect(page).to_have_title(f"{label} · Reco console")


def test_keyboard_opens_closes_and_discards_dead_letters(
    console: Service, context: BrowserContext, poison: int
) -> None:
    page = opened(context, console, view="act")
    await_text(page, f"{poison:,} found")
    first = page.locator("tbody").get_by_role("button").first
    tab_to(page, str(first.get_attribute("aria-label")))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Number ")).to_be_focused()
    tab_to(page, "Close")
    page.keyboard.press("Enter")
    expect(first).to_be_focused()
    from_top(page)
    tab_to(page, "Discard all found")
    page.keyboard.press("Enter")
    expect(field(page, "reason")).to_be_focused()
    tab_to(page, "Cancel")
    page.keyboard.press("Enter")
    expect(named(page, "Discard all found")).to_be_focused()
    page.keyboard.press("Enter")
    expect(field(page, "reason")).to_be_focused()
    page.keyboard.type("made by a test")
    page.keyboard.press("Enter")
    await_text(page, f"{poison:,} discarded.", 60.0)
    expect(page.locator("main")).to_be_focused()


def test_keyboard_stays_in_the_view_when_what_it_pressed_is_gone(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    assert console.client.put("/items/tent", json={"title": "A tent"}, headers=operator).is_success
    boost = {"action": "boost", "item_id": "tent", "factor": 2}
    assert console.client.put("/rules/boosted", json=boost, headers=operator).is_success
    page = opened(context, console, view="merchandise")
    view = expect(page.locator("main"))
    await_text(page, "Boost tent")
    tab_to(page, "Remove boosted")
    page.keyboard.press("Enter")
    await_text(page, "The rule boosted is removed.")
    view.to_be_focused()
    tab_to(page, "Undo")
    page.keyboard.press("Enter")
    await_text(page, "Undone.")
    view.to_be_focused()
    tab_to(page, "Open A tent")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="A tent")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    title = field(page.get_by_role("region", name="Item"), "title")
    expect(title).to_be_focused()
    page.keyboard.type("A blue tent")
    page.keyboard.press("Enter")
    await_text(page, "A tent is changed.")
    expect(page.get_by_role("heading", name="A blue tent")).to_be_focused()
    from_top(page)
    tab_to(page, "Take the tour")
    page.keyboard.press("Enter")
    tab_to(page, "End the tour")
    page.keyboard.press("Enter")
    await_text(page, "Take the tour")
    view.to_be_focused()
    assert console.client.delete("/rules/boosted", headers=operator).is_success
