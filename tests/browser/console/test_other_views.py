"""What product people see: key figures, versions of the ranking; and the tour."""

import psycopg
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.console.looking import await_text, click, field, look, opened, text_of
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


def test_key_figures_are_shown_by_day_placement_source_and_variant(
    console: Service, context: BrowserContext, axe: str, operator: dict[str, str]
) -> None:
    items = [{"item_id": name, "position": place, "feed_id": "home"} for place, name in enumerate("abcd")]
    # First: what is received before the purchases is in the figures with them.
    none = {"user_id": "ann", "session_id": "s", "event_type": "impression", "items": items}
    assert console.client.post("/log/batch", json=[none], headers=operator).status_code in (200, 202)
    for number in range(40):
        about = {"user_id": f"buyer-{number}", "session_id": "s", "request_id": f"shown-{number}"}
        served = {
            "sources": ["popular", "popular", "explore", "explore"],
            "variant": "bolder" if number % 2 else "control",
        }
        events = [{**about, "event_type": "impression", "items": items, "context": served}]
        if number % 3 == 0:
            events.append({**about, "event_type": "purchase", "item_id": "a", "value": 5.0 + number, "currency": "EUR"})
        assert console.client.post("/log/batch", json=events, headers=operator).status_code in (200, 202)
    eventually(
        lambda: console.client.get("/analytics/conversions", headers=operator).json()["total"]["converted"] == 14, 60
    )
    page = opened(context, console, view="measure")
    await_text(page, "By placement")
    await_text(page, "EUR")
    assert rows_of(page, "By variant") == {"bolder": "80", "control": "80", "none": "4"}
    expect(page.get_by_role("region", name="By placement")).to_contain_text("Coverage")
    look(page, axe, "measure")
    by_source = "By source and model version"
    await_text(page, by_source)
    field(page, "placement").select_option(index=1)
    place = field(page, "placement").input_value()
    await_text(page, f"{place}, as of")
    assert by_source not in text_of(page)
    assert "are not in yet" not in text_of(page)
    page.evaluate("{ const now = Date.now; Date.now = () => now() + 3_600_000 }")
    field(page, "days").select_option("30")
    await_text(page, "are not in yet")


def rows_of(page: Page, title: str) -> dict[str, str]:
    """How often what each row names was shown."""
    rows = page.get_by_role("region", name=title).locator("tbody tr").all()
    return {cells[0]: cells[1] for cells in (row.get_by_role("cell").all_inner_texts() for row in rows)}


def test_version_is_promoted_and_rolled_back(console: Service, context: BrowserContext, axe: str) -> None:
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        database.execute(
            "INSERT INTO ranking_models (weights, origin, reason, figures) "
            "SELECT weights, 'imported', 'from a file', '{}' FROM ranking_models WHERE version = 1"
        )
    page = opened(context, console, view="model")
    await_text(page, "Versions")
    click(page, "Promote version 2")
    field(page, "reason").fill("to try it")
    look(page, axe, "versions")
    confirm = page.get_by_role("group", name="Confirm")
    click(confirm, "Promote version 2")
    await_text(page, "Version 2 serves, pinned.")
    click(page, "Roll back")
    field(page, "reason").fill("tried")
    click(confirm, "Roll back")
    await_text(page, "Version 1 serves in place of 2, pinned.")
    click(page, "Let the learner decide")
    await_text(page, "The learner decides again.")


def test_tour_leads_through_the_views_in_five_clicks(console: Service, context: BrowserContext, axe: str) -> None:
    page = opened(context, console)
    click(page, "Take the tour")
    for stop, view in enumerate(("Live", "Try", "Merchandise", "Measure", "Act"), start=1):
        await_text(page, f"{stop} of 5.")
        expect(page).to_have_title(f"{view} · Reco console")
        if stop == 2:
            look(page, axe, "tour")
        click(page, "Next" if stop < 5 else "End the tour")
    await_text(page, "Take the tour")


def test_small_rates_keep_their_digits(console: Service, context: BrowserContext) -> None:
    page = opened(context, console)
    written = "[null, 0, -0, 0.0004, -0.0035, 0.0099, 0.01, 0.129, 12.5].map(kit.percent)"
    assert page.evaluate(f"import('./console/kit.js').then(kit => {written})") == [
        "–",
        "0.0 %",
        "0.0 %",
        "0.04 %",
        "-0.35 %",
        "0.99 %",
        "1.0 %",
        "12.9 %",
        "1,250.0 %",
    ]


def test_service_is_named_whatever_its_host_is_called(console: Service, context: BrowserContext) -> None:
    page = opened(context, console)
    pages = [
        "http://shop.example/console#live",
        "https://console.shop.example/reco/console",
        "http://a/console#try/console",
    ]
    urls = page.evaluate("pages => import('./console/first.js').then(first => pages.map(first.urlOf))", pages)
    assert urls == ["http://shop.example", "https://console.shop.example/reco", "http://a"]


# The last ones have marks that override the direction of what follows, and that end an isolation.
@pytest.mark.parametrize(
    ("category", "part"), [("خيام", "خيام"), ("\u202etents", "tents"), ("\u2069\u202etents", "tents")]
)
def test_name_of_another_direction_does_not_carry_its_neighbours_along(
    console: Service, context: BrowserContext, operator: dict[str, str], category: str, part: str
) -> None:
    boost = {"action": "boost", "category": category, "factor": 3}
    assert console.client.put("/rules/tents", json=boost, headers=operator).is_success
    page = opened(context, console, view="merchandise")
    rule = page.get_by_role("list", name="Rules", exact=True).locator(".what").first
    # In reading order from the left: the factor after the category.
    places = rule.evaluate(
        "(rule, part) => [part, '3.00'].map(part => { const text = rule.firstChild, at = text.data.indexOf(part);"
        "const range = new Range(); range.setStart(text, at); range.setEnd(text, at + part.length);"
        "return range.getBoundingClientRect().left })",
        part,
    )
    assert places == sorted(places), text_of(page)
    assert console.client.delete("/rules/tents", headers=operator).is_success
