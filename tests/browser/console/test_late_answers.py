"""What the page shows is what was asked for last, and what is done is what was counted."""

import psycopg
import pytest
from playwright.sync_api import BrowserContext, Route, expect

from tests.browser.console.holding import held, settle
from tests.browser.console.looking import await_text, await_true, click, field, named, opened, text_of
from tests.support.service import Service

pytestmark = pytest.mark.slow


def test_list_of_an_earlier_choice_does_not_take_the_place_of_the_later_one(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    assert console.client.put("/items/tent", json={"title": "A tent"}, headers=operator).is_success
    page = opened(context, console, view="try/ann")
    await_text(page, "What they get")
    with held(page, "**/reco?*variant=bolder*") as is_asked:
        field(page, "ranking").select_option("bolder")
        is_asked()
        field(page, "ranking").select_option("model-1")
        await_text(page, "By model-1")
    expect(page.get_by_role("heading", name="By model-1")).to_be_visible()
    expect(page.get_by_role("heading", name="By bolder")).to_have_count(0)


@pytest.mark.parametrize("poison", [2], indirect=True)
def test_letter_that_was_opened_first_does_not_take_the_place_of_the_later_one(
    console: Service, context: BrowserContext, poison: int
) -> None:
    page = opened(context, console, view="act")
    await_text(page, f"{poison} found")
    first, second = page.locator("tbody").get_by_role("button").all()
    number, other = first.inner_text(), second.inner_text()
    with held(page, f"**/dead-letters/{number}?*") as is_asked:
        first.click()
        is_asked()
        second.click()
        await_text(page, f"Number {other}")
    assert f"Number {other}" in text_of(page)
    with held(page, f"**/dead-letters/{number}?*") as is_asked:
        first.click()
        is_asked()
        field(page, "source").select_option("outbox")
        await_text(page, "There is nothing to do")
    assert "Number " not in text_of(page)


@pytest.mark.parametrize("poison", [4], indirect=True)
def test_conditions_in_sight_are_those_of_the_search(console: Service, context: BrowserContext, poison: int) -> None:
    page = opened(context, console, view="act")
    await_text(page, f"{poison} found")
    field(page, "error").fill("expected str")
    field(page, "status").select_option("discarded")
    await_text(page, "0 found")
    field(page, "status").select_option("pending")
    await_text(page, f"{poison // 2} found")
    field(page, "error").fill("typed, and not searched for")
    click(page, "Discard all found")
    await_text(page, f"{poison // 2} will be given up, all that the search finds by the error expected str.")


@pytest.mark.parametrize("poison", [2], indirect=True)
def test_letters_that_come_after_the_count_are_left(console: Service, context: BrowserContext, poison: int) -> None:
    page = opened(context, console, view="act")
    await_text(page, f"{poison} found")
    click(page, "Discard all found")
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        database.execute(
            "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, event_id, error_kind, "
            "error, attempts) VALUES ('recsys.interactions.v1', 0, 99, 1, 'poison-later', 'data', 'e', 1)"
        )
    field(page, "reason").fill("made by a test")
    click(page, f"Discard {poison}")
    await_text(page, f"{poison} discarded.")
    await_text(page, "1 found")


@pytest.mark.parametrize("poison", [2], indirect=True)
def test_what_cannot_be_sent_again_is_told(console: Service, context: BrowserContext, poison: int) -> None:
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        database.execute("UPDATE feature_consumer_dlq SET error_kind = 'batch' WHERE event_id = 'poison-1'")
    page = opened(context, console, view="act")
    await_text(page, f"{poison} found")
    click(page, "Replay all found")
    click(page, f"Replay {poison}")
    await_text(page, "1 sent again. 1 passed over: damaged batches")


def test_address_names_what_is_shown(console: Service, context: BrowserContext) -> None:
    page = opened(context, console, view="try/ann")
    await_text(page, "What they get")
    field(page, "user").fill("bob")
    page.keyboard.press("Enter")
    page.wait_for_url("**#try/bob")
    page.evaluate("location.hash = '#try/ann'")
    expect(field(page, "user")).to_have_value("ann")
    click(page, "Ranking")
    await_text(page, "Versions")
    named(page, "Skip to the content").evaluate("link => link.click()")
    await_true(page, "location.hash === '#model'")
    expect(page.locator("main")).to_be_focused()
    page.reload()
    expect(page).to_have_title("Ranking · Reco console")


def test_sign_in_leads_to_the_view_and_a_late_refusal_says_nothing_of_a_sign_out(
    console: Service, context: BrowserContext
) -> None:
    page = opened(context, console, view="try/ann")
    expect(page.locator("main")).to_be_focused()
    await_text(page, "What they get")
    late: list[Route] = []

    def hold(route: Route) -> None:
        late.append(route)

    page.route("**/reco?*", hold)
    click(page, "Show")
    click(page, "Sign out")
    await_text(page, "API key")
    for route in late:
        route.fulfill(status=401, json={"detail": "no key"})
    settle(page)
    assert late
    assert "has ended" not in text_of(page)
