"""What a person tries: a user's history and list, an event by clicking, and a variant beside it."""

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.console.holding import held
from tests.browser.console.looking import (
    VIEWER_TOKEN,
    await_text,
    click,
    field,
    look,
    opened,
    text_of,
    views,
)
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow

ITEMS = ("tent", "stove", "lamp", "rope", "boots", "map")


@pytest.fixture
def shop(console: Service, operator: dict[str, str]) -> None:
    """A catalogue, and users who had the same things."""
    items = [{"item_id": name, "title": f"A {name}", "categories": ["camping"]} for name in ITEMS]
    assert console.client.post("/items", json={"items": items}, headers=operator).status_code == 200
    for user in range(12):
        for name in ITEMS[: 2 + user % 4]:
            event = {"user_id": f"user-{user}", "session_id": f"s{user}", "item_id": name, "event_type": "purchase"}
            assert console.client.post("/event", json=event, headers=operator).status_code == 202


@pytest.mark.usefixtures("shop")
def test_clicked_event_changes_the_list_and_each_place_says_why(
    console: Service, context: BrowserContext, axe: str
) -> None:
    page = opened(context, console, view="try")
    field(page, "user").fill("user-0")
    page.keyboard.press("Enter")
    await_text(page, "What they get")
    await_text(page, "A boots")
    page.get_by_text("Features").first.click()
    field(page, "compared").select_option("bolder")
    await_text(page, "By bolder")
    click(page, "Buy A boots")
    await_text(page, "The purchase of A boots is sent. The list changed")

    def is_in_the_history() -> bool:  # which has what is counted
        click(page, "Show")
        await_text(page, "By bolder")
        return page.get_by_role("list", name="History").get_by_text("A boots").count() > 0

    eventually(is_in_the_history, 30.0, describe=lambda: text_of(page))
    look(page, axe, "try")


@pytest.mark.usefixtures("shop")
def test_two_rankings_of_the_latest_user_are_side_by_side(console: Service, context: BrowserContext, axe: str) -> None:
    page = opened(context, console, view="try")
    await_text(page, "What they get")  # nobody has typed
    field(page, "compared").select_option("bolder")
    await_text(page, "By bolder")
    field(page, "ranking").select_option("model-1")
    await_text(page, "By model-1")
    expect(page.get_by_role("heading", level=3)).to_have_text(["History", "By model-1", "By bolder"])
    look(page, axe, "try-side-by-side")
    field(page, "compared").select_option("")
    expect(page.get_by_role("heading", level=3)).to_have_text(["History", "By model-1"])


@pytest.mark.usefixtures("shop")
def test_key_that_only_reads_sees_no_button_that_fails(console: Service, context: BrowserContext) -> None:
    page = opened(context, console, VIEWER_TOKEN, "try")
    field(page, "user").fill("user-0")
    page.keyboard.press("Enter")
    await_text(page, "A boots")
    assert views(page) == ["Live", "Try", "Merchandise", "Measure", "Ranking"]
    assert page.get_by_role("main").get_by_role("button").all_inner_texts() == ["Show"]
    assert page.locator("[aria-label^=History], [role=alert], select").count() == 0


@pytest.mark.usefixtures("shop")
def test_address_names_any_user(console: Service, context: BrowserContext) -> None:
    page = opened(context, console, view="try/%")
    await_text(page, "What they get")
    expect(field(page, "user")).to_have_value("%")
    assert page.get_by_role("alert").count() == 0
    page.evaluate("location.hash = '#try/user-3%2Fhome'")
    expect(field(page, "user")).to_have_value("user-3/home")
    field(page, "user").fill("user-4")
    page.keyboard.press("Enter")
    page.wait_for_url("**#try/user-4")
    page.reload()
    expect(field(page, "user")).to_have_value("user-4")


def test_id_is_taken_as_it_is_typed(console: Service, context: BrowserContext, operator: dict[str, str]) -> None:
    for user, item in ((" ann ", "of-spaces"), ("..", "of-dots")):
        event = {"user_id": user, "session_id": "s", "item_id": item, "event_type": "purchase"}
        assert console.client.post("/event", json=event, headers=operator).status_code == 202
    page = opened(context, console, view="try")

    def found() -> bool:
        field(page, "user").fill(" ann ")
        page.keyboard.press("Enter")
        await_text(page, "What they get")
        return page.get_by_role("list", name="History").get_by_text("of-spaces").count() > 0

    eventually(found, 30.0, describe=lambda: text_of(page))
    field(page, "user").fill("..")
    page.keyboard.press("Enter")
    await_text(page, "A browser cannot ask for the history of the user ..")
    await_text(page, "What they get")
    assert page.get_by_role("alert").count() == 0


@pytest.mark.usefixtures("shop")
def test_keyboard_stays_in_the_view_when_it_sends_an_event(console: Service, context: BrowserContext) -> None:
    page = opened(context, console, view="try/user-1")
    await_text(page, "What they get")
    page.get_by_role("button", name="View").first.focus()
    with held(page, "**/event", "POST"):
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        await_text(page, "What you began is still under way.")
    await_text(page, "is sent. The list")
    # What was viewed may have left the list.
    expect(page.locator("[aria-label^='View ']:focus, main:focus")).to_have_count(1)
