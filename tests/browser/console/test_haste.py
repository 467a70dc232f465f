"""What a hurried person does at the console: clicks twice, and goes on when the service does not answer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.browser.console.looking import PHONE, await_text, choose, click, fill, opened, press, shown, text_of
from tests.support.chromium import Chromium, Tab
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


def click_twice(tab: Tab, selector: str) -> None:
    tab.run(f"{{ const found = document.querySelector({json.dumps(selector)}); found.click(); found.click() }}")


def test_rule_applied_by_a_double_click_is_one_rule(
    console: Service, browser: Chromium, operator: dict[str, str]
) -> None:
    tab = opened(browser, console, view="merchandise")
    fill(tab, "[aria-label=Rule] input[name=item]", "kettle")
    click_twice(tab, "button[name=apply]")
    await_text(tab, "Every list follows")
    assert len(console.client.get("/rules", headers=operator).json()["rules"]) == 1
    click(tab, "Undo")
    await_text(tab, "Undone.")
    assert console.client.get("/rules", headers=operator).json()["rules"] == []


def test_double_click_rolls_back_one_version(console: Service, browser: Chromium, operator: dict[str, str]) -> None:
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        for _ in range(2):
            database.execute(
                "INSERT INTO ranking_models (weights, origin, reason, figures) "
                "SELECT weights, 'imported', 'from a file', '{}' FROM ranking_models WHERE version = 1"
            )
    for version in (2, 3):
        asked = {"version": version, "reason": "to try it", "pin": True}
        assert console.client.post("/model/promote", json=asked, headers=operator).status_code == 200
    tab = opened(browser, console, view="model")
    click(tab, "Roll back")
    fill(tab, "input[name=reason]", "tried")
    click_twice(tab, "[aria-label=Confirm] button")
    await_text(tab, "Version 2 serves in place of 3, pinned.")
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


def test_second_act_is_not_dropped_silently(console: Service, browser: Chromium, operator: dict[str, str]) -> None:
    boost = {"action": "boost", "item_id": "kettle", "factor": 2}
    assert console.client.put("/rules/boosted", json=boost, headers=operator).is_success
    tab = opened(browser, console, view="merchandise")
    fill(tab, "[aria-label=Rule] input[name=item]", "kettle")
    await_text(tab, "Boost kettle × 2.00")
    with frozen(console):
        click(tab, "Apply")
        click(tab, "Remove boosted")
        await_text(tab, WAIT)
    await_text(tab, "Every list follows")
    assert len(console.client.get("/rules", headers=operator).json()["rules"]) == 2
    click(tab, "Undo")
    await_text(tab, "Undone.")
    assert console.client.post("/model/pin", json={"pinned": False}, headers=operator).is_success
    click(tab, "Ranking")
    await_text(tab, "Pin this version")
    with frozen(console):
        click(tab, "Pin this version")
        click(tab, "Pin this version")
        await_text(tab, WAIT)
    await_text(tab, "is pinned.")
    assert console.client.post("/model/pin", json={"pinned": False}, headers=operator).is_success
    assert console.client.delete("/rules/boosted", headers=operator).is_success


def test_plan_of_another_act_does_not_take_the_place_of_one_that_runs(
    console: Service, browser: Chromium, poison: int
) -> None:
    tab = opened(browser, console, view="act")
    await_text(tab, f"{poison:,} found")
    click(tab, "Discard all found")
    fill(tab, "input[name=reason]", "made by a test")
    with frozen(console):
        press(tab, "Enter")
        click(tab, "Replay all found")
        await_text(tab, WAIT)
        assert "will be given up" in text_of(tab)
    await_text(tab, f"{poison:,} discarded.", 60.0)


def test_act_goes_on_while_another_view_is_looked_at(console: Service, browser: Chromium, poison: int) -> None:
    tab = opened(browser, console, view="act")
    await_text(tab, f"{poison:,} found")
    click(tab, "Discard all found")
    fill(tab, "input[name=reason]", "made by a test")
    with frozen(console):
        press(tab, "Enter")
        await_text(tab, "Why: made by a test")
        click(tab, "Live")
        eventually(lambda: not shown(tab, "progress"))
        click(tab, "Act")
        await_text(tab, f"0 of {poison:,}")
        assert f"{poison:,} will be given up" in text_of(tab)
    await_text(tab, f"{poison:,} discarded.", 60.0)
    await_text(tab, "0 found")


def test_what_is_not_known_yet_is_not_empty(console: Service, browser: Chromium) -> None:
    tab = opened(browser, console, view="model")
    await_text(tab, "Versions")
    with frozen(console):
        for view in ("Merchandise", "Measure", "Ranking", "Act", "Try"):
            click(tab, view)
            eventually(lambda view=view: tab.run("document.title").startswith(view))
            await_text(tab, "Loading.")
            for empty in ("There are none", "No rule was changed", "No item is found", "There is nothing to do"):
                assert empty not in text_of(tab), view
    click(tab, "Measure")
    await_text(tab, "By placement")
    eventually(lambda: "Loading." not in text_of(tab), describe=lambda: text_of(tab))
    with frozen(console):
        choose(tab, "select[name=days]", "30")
        await_text(tab, "Loading.")
        assert "By placement" not in text_of(tab)
    await_text(tab, "By placement")


def test_failed_search_offers_nothing_of_the_one_before(console: Service, browser: Chromium, poison: int) -> None:
    tab = opened(browser, console, view="act")
    await_text(tab, f"{poison:,} found")
    tab.set_offline(offline=True)
    fill(tab, "input[name=error]", "expected str")
    click(tab, "Search")
    await_text(tab, "The service does not answer.")
    assert f"{poison:,} found" not in text_of(tab)
    assert "Discard all found" not in text_of(tab)
    tab.set_offline(offline=False)
    click(tab, "Search")
    await_text(tab, f"{poison // 2:,} found")


def test_failed_search_of_the_catalogue_leaves_no_list_of_another_one(
    console: Service, browser: Chromium, operator: dict[str, str]
) -> None:
    assert console.client.put("/items/kettle", json={"title": "A kettle"}, headers=operator).is_success
    tab = opened(browser, console, view="merchandise")
    await_text(tab, "A kettle")
    tab.set_offline(offline=True)
    fill(tab, "[role=search] input[name=title]", "torch")
    click(tab, "Search")
    await_text(tab, "The service does not answer.")
    assert "A kettle" not in text_of(tab)
    tab.set_offline(offline=False)
    click(tab, "Search")
    await_text(tab, "No item is found.")
    assert "does not answer" not in text_of(tab)


def test_figures_of_other_days_go_when_the_service_does_not_answer(console: Service, browser: Chromium) -> None:
    tab = opened(browser, console, view="measure")
    await_text(tab, "By placement")
    tab.set_offline(offline=True)
    choose(tab, "select[name=days]", "30")
    await_text(tab, "The service does not answer.")
    assert "By placement" not in text_of(tab)
    tab.set_offline(offline=False)
    click(tab, "Try again")
    await_text(tab, "By placement")
    assert "does not answer" not in text_of(tab)


def test_what_was_done_is_in_sight_where_it_was_pressed(console: Service, browser: Chromium) -> None:
    tab = opened(browser, console, view="merchandise")
    tab.call("Emulation.setDeviceMetricsOverride", **PHONE)
    fill(tab, "[aria-label=Rule] input[name=item]", "kettle")
    tab.run("document.querySelector('button[name=apply]').scrollIntoView({ block: 'center' })")
    click(tab, "Apply")
    await_text(tab, "Every list follows")
    box = "document.querySelector('main [role=status]').getBoundingClientRect()"
    assert tab.run(f"scrollY > {box}.height && {box}.top >= 0 && {box}.bottom <= innerHeight")
    click(tab, "Undo")
    await_text(tab, "Undone.")


def test_longest_name_is_no_wider_than_a_phone(console: Service, browser: Chromium, operator: dict[str, str]) -> None:
    name = "x" * 128
    item = {"title": name, "categories": ["long"]}
    assert console.client.put(f"/items/{name}", json=item, headers=operator).status_code == 201
    tab = opened(browser, console, view="merchandise")
    tab.call("Emulation.setDeviceMetricsOverride", **PHONE)
    click(tab, f"Open {name}")
    eventually(lambda: shown(tab, "[aria-label=Item] form"))
    click(tab, "Remove from the catalogue")
    await_text(tab, "is removed from the catalogue.")
    assert tab.run("document.documentElement.scrollWidth") <= PHONE["width"]
    click(tab, "Undo")
    await_text(tab, "Undone.")
    click(tab, f"Open {name}")
    eventually(lambda: shown(tab, "[aria-label=Item] form"))
    assert tab.run("document.documentElement.scrollWidth") <= PHONE["width"]
