"""What product people see: key figures, versions of the ranking; and the tour."""

import psycopg
import pytest

from tests.browser.console.looking import await_text, choose, click, fill, look, opened, text_of
from tests.support.chromium import Chromium, Tab
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


def test_key_figures_are_shown_by_day_placement_source_and_variant(
    console: Service, browser: Chromium, axe: str, operator: dict[str, str]
) -> None:
    for number in range(40):
        about = {"user_id": f"buyer-{number}", "session_id": "s", "request_id": f"shown-{number}"}
        items = [{"item_id": name, "position": place, "feed_id": "home"} for place, name in enumerate("abcd")]
        context = {
            "sources": ["popular", "popular", "explore", "explore"],
            "variant": "bolder" if number % 2 else "control",
        }
        events = [{**about, "event_type": "impression", "items": items, "context": context}]
        if number % 3 == 0:
            events.append({**about, "event_type": "purchase", "item_id": "a", "value": 5.0 + number, "currency": "EUR"})
        assert console.client.post("/log/batch", json=events, headers=operator).status_code in (200, 202)
    none = {"user_id": "ann", "session_id": "s", "event_type": "impression", "items": items}
    assert console.client.post("/log/batch", json=[none], headers=operator).status_code in (200, 202)
    eventually(
        lambda: console.client.get("/analytics/conversions", headers=operator).json()["total"]["converted"] == 14, 60
    )
    tab = opened(browser, console, view="measure")
    await_text(tab, "By placement")
    await_text(tab, "EUR")
    assert rows_of(tab, "By variant") == {"bolder": "80", "control": "80", "none": "4"}
    assert "Coverage" in tab.run("document.querySelector('[aria-label=\"By placement\"]').innerText")
    look(tab, axe, "measure")
    by_source = "By source and model version"
    await_text(tab, by_source)
    place = tab.run("document.querySelector('[name=placement]').options[1].value")
    choose(tab, "select[name=placement]", place)
    await_text(tab, f"{place}, as of")
    assert by_source not in tab.run("document.body.innerText")
    assert "are not in yet" not in tab.run("document.body.innerText")
    tab.run("{ const now = Date.now; Date.now = () => now() + 3_600_000 }")
    choose(tab, "select[name=days]", "30")
    await_text(tab, "are not in yet")


def rows_of(tab: Tab, title: str) -> dict[str, str]:
    """How often what each row names was shown."""
    script = f"[...document.querySelectorAll('[aria-label=\"{title}\"] tbody tr')]"
    found: list[list[str]] = tab.run(f"{script}.map(row => [...row.cells].slice(0, 2).map(cell => cell.innerText))")
    return dict(found)


def test_version_is_promoted_and_rolled_back(console: Service, browser: Chromium, axe: str) -> None:
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        database.execute(
            "INSERT INTO ranking_models (weights, origin, reason, figures) "
            "SELECT weights, 'imported', 'from a file', '{}' FROM ranking_models WHERE version = 1"
        )
    tab = opened(browser, console, view="model")
    await_text(tab, "Versions")
    click(tab, "Promote version 2")
    fill(tab, "input[name=reason]", "to try it")
    look(tab, axe, "versions")
    click(tab, "Promote version 2")
    await_text(tab, "Version 2 serves, pinned.")
    click(tab, "Roll back")
    fill(tab, "input[name=reason]", "tried")
    tab.run("document.querySelector('[aria-label=Confirm] button').click()")
    await_text(tab, "Version 1 serves in place of 2, pinned.")
    click(tab, "Let the learner decide")
    await_text(tab, "The learner decides again.")


def test_tour_leads_through_the_views_in_five_clicks(console: Service, browser: Chromium, axe: str) -> None:
    tab = opened(browser, console)
    click(tab, "Take the tour")
    for stop, view in enumerate(("Live", "Try", "Merchandise", "Measure", "Act"), start=1):
        await_text(tab, f"{stop} of 5.")
        eventually(lambda view=view: tab.run("document.title").startswith(view))
        if stop == 2:
            look(tab, axe, "tour")
        click(tab, "Next" if stop < 5 else "End the tour")
    await_text(tab, "Take the tour")


def test_small_rates_keep_their_digits(console: Service, browser: Chromium) -> None:
    tab = opened(browser, console)
    written = "[null, 0, -0, 0.0004, -0.0035, 0.0099, 0.01, 0.129, 12.5].map(kit.percent)"
    assert tab.run(f"import('./console/kit.js').then(kit => {written})") == [
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


def test_name_from_right_to_left_does_not_carry_its_neighbours_along(
    console: Service, browser: Chromium, operator: dict[str, str]
) -> None:
    boost = {"action": "boost", "category": "خيام", "factor": 3}
    assert console.client.put("/rules/tents", json=boost, headers=operator).is_success
    tab = opened(browser, console, view="merchandise")
    await_text(tab, "Boost category")
    # In reading order from the left: the factor after the category.
    places = tab.run(
        "(() => { const text = [...document.querySelectorAll('[aria-label=Rules] .what')].at(0).firstChild;"
        "return ['خيام', '3.00'].map(part => { const at = text.data.indexOf(part), range = new Range();"
        "range.setStart(text, at); range.setEnd(text, at + part.length); "
        "return range.getBoundingClientRect().left }) })()"
    )
    assert places == sorted(places), text_of(tab)
    assert console.client.delete("/rules/tents", headers=operator).is_success
