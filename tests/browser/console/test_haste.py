"""What a hurried person does at the console: clicks twice, and goes on when the service does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from playwright.sync_api import BrowserContext, Locator, expect

from tests.browser.console.looking import WIDTHS, await_no_text, await_text, click, field, named, opened, text_of
from tests.support.service import Service

pytestmark = pytest.mark.slow


def click_twice(found: Locator) -> None:
    """Before the page has come to show anything new."""
    found.evaluate("found => { found.click(); found.click() }")


def test_rule_applied_by_a_double_click_is_one_rule(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    page = opened(context, console, view="merchandise")
    field(page, "item").fill("kettle")
    click_twice(named(page, "Apply"))
    await_text(page, "Every list follows")
    assert len(console.client.get("/rules", headers=operator).json()["rules"]) == 1
    click(page, "Undo")
    await_text(page, "Undone.")
    assert console.client.get("/rules", headers=operator).json()["rules"] == []


def test_double_click_rolls_back_one_version(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        for _ in range(2):
            database.execute(
                "INSERT INTO ranking_models (weights, origin, reason, figures) "
                "SELECT weights, 'imported', 'from a file', '{}' FROM ranking_models WHERE version = 1"
            )
    for version in (2, 3):
        asked = {"version": version, "reason": "to try it", "pin": True}
        assert console.client.post("/model/promote", json=asked, headers=operator).status_code == 200
    page = opened(context, console, view="model")
    click(page, "Roll back")
    field(page, "reason").fill("tried")
    click_twice(named(page.get_by_role("group", name="Confirm"), "Roll back"))
    await_text(page, "Version 2 serves in place of 3, pinned.")
    assert console.client.get("/model", headers=operator).json()["version"] == 2


WAIT = "What you began is still under way."


@contextmanager
def frozen(console: Service) -> Iterator[None]:
    """While the service answers nothing, what was begun is under way."""
    console.freeze()
    try:
        yield
    finally:
        console.thaw()


def test_second_act_is_not_dropped_silently(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    boost = {"action": "boost", "item_id": "kettle", "factor": 2}
    assert console.client.put("/rules/boosted", json=boost, headers=operator).is_success
    page = opened(context, console, view="merchandise")
    field(page, "item").fill("kettle")
    await_text(page, "Boost kettle × 2.00")
    with frozen(console):
        click(page, "Apply")
        click(page, "Remove boosted")
        await_text(page, WAIT)
    await_text(page, "Every list follows")
    assert len(console.client.get("/rules", headers=operator).json()["rules"]) == 2
    click(page, "Undo")
    await_text(page, "Undone.")
    assert console.client.post("/model/pin", json={"pinned": False}, headers=operator).is_success
    click(page, "Ranking")
    await_text(page, "Pin this version")
    with frozen(console):
        click(page, "Pin this version")
        click(page, "Pin this version")
        await_text(page, WAIT)
    await_text(page, "is pinned.")
    assert console.client.post("/model/pin", json={"pinned": False}, headers=operator).is_success
    assert console.client.delete("/rules/boosted", headers=operator).is_success


def test_plan_of_another_act_does_not_take_the_place_of_one_that_runs(
    console: Service, context: BrowserContext, poison: int
) -> None:
    page = opened(context, console, view="act")
    await_text(page, f"{poison:,} found")
    click(page, "Discard all found")
    field(page, "reason").fill("made by a test")
    with frozen(console):
        page.keyboard.press("Enter")
        click(page, "Replay all found")
        await_text(page, WAIT)
        expect(page.get_by_text("will be given up")).to_be_visible()
    await_text(page, f"{poison:,} discarded.", 60.0)


def test_act_goes_on_while_another_view_is_looked_at(console: Service, context: BrowserContext, poison: int) -> None:
    page = opened(context, console, view="act")
    await_text(page, f"{poison:,} found")
    click(page, "Discard all found")
    field(page, "reason").fill("made by a test")
    with frozen(console):
        page.keyboard.press("Enter")
        await_text(page, "Why: made by a test")
        click(page, "Live")
        expect(page.get_by_role("progressbar")).to_have_count(0)
        click(page, "Act")
        await_text(page, f"0 of {poison:,}")
        assert f"{poison:,} will be given up" in text_of(page)
    await_text(page, f"{poison:,} discarded.", 60.0)
    await_text(page, "0 found")


def test_what_is_not_known_yet_is_not_empty(console: Service, context: BrowserContext) -> None:
    page = opened(context, console, view="model")
    await_text(page, "Versions")
    with frozen(console):
        for view in ("Merchandise", "Measure", "Ranking", "Act", "Try"):
            click(page, view)
            expect(page).to_have_title(f"{view} · Reco console")
            await_text(page, "Loading.")
            for empty in ("There are none", "No rule was changed", "No item is found", "There is nothing to do"):
                assert empty not in text_of(page), view
    click(page, "Measure")
    await_text(page, "By placement")
    await_no_text(page, "Loading.")
    with frozen(console):
        field(page, "days").select_option("30")
        await_text(page, "Loading.")
        assert "By placement" not in text_of(page)
    await_text(page, "By placement")


def test_failed_search_offers_nothing_of_the_one_before(console: Service, context: BrowserContext, poison: int) -> None:
    page = opened(context, console, view="act")
    await_text(page, f"{poison:,} found")
    context.set_offline(True)
    field(page, "error").fill("expected str")
    click(page, "Search")
    await_text(page, "The service does not answer.")
    assert f"{poison:,} found" not in text_of(page)
    assert "Discard all found" not in text_of(page)
    context.set_offline(False)
    click(page, "Search")
    await_text(page, f"{poison // 2:,} found")


def test_failed_search_of_the_catalogue_leaves_no_list_of_another_one(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    assert console.client.put("/items/kettle", json={"title": "A kettle"}, headers=operator).is_success
    page = opened(context, console, view="merchandise")
    await_text(page, "A kettle")
    context.set_offline(True)
    field(page, "title").fill("torch")
    click(page, "Search")
    await_text(page, "The service does not answer.")
    assert "A kettle" not in text_of(page)
    context.set_offline(False)
    click(page, "Search")
    await_text(page, "No item is found.")
    assert "does not answer" not in text_of(page)


def test_figures_of_other_days_go_when_the_service_does_not_answer(console: Service, context: BrowserContext) -> None:
    page = opened(context, console, view="measure")
    await_text(page, "By placement")
    context.set_offline(True)
    field(page, "days").select_option("30")
    await_text(page, "The service does not answer.")
    assert "By placement" not in text_of(page)
    context.set_offline(False)
    click(page, "Try again")
    await_text(page, "By placement")
    assert "does not answer" not in text_of(page)


def test_what_was_done_is_in_sight_where_it_was_pressed(console: Service, phone: BrowserContext) -> None:
    page = opened(phone, console, view="merchandise")
    field(page, "item").fill("kettle")
    named(page, "Apply").evaluate("button => button.scrollIntoView({ block: 'center' })")
    click(page, "Apply")
    await_text(page, "Every list follows")
    said = page.get_by_role("main").get_by_role("status").first
    expect(said).to_be_in_viewport(ratio=1)
    assert said.evaluate("said => scrollY > said.getBoundingClientRect().height")
    click(page, "Undo")
    await_text(page, "Undone.")


def test_longest_name_is_no_wider_than_a_phone(
    console: Service, phone: BrowserContext, operator: dict[str, str]
) -> None:
    name = "x" * 128
    item = {"title": name, "categories": ["long"]}
    assert console.client.put(f"/items/{name}", json=item, headers=operator).status_code == 201
    width = WIDTHS["phone"]
    page = opened(phone, console, view="merchandise")
    click(page, f"Open {name}")
    click(page, "Remove from the catalogue")
    await_text(page, "is removed from the catalogue.")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    click(page, "Undo")
    await_text(page, "Undone.")
    click(page, f"Open {name}")
    expect(named(page, "Remove from the catalogue")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
