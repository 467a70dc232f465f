"""What product people do with experiments, and merchandisers with the history of the rules."""

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.console.looking import (
    VIEWER_TOKEN,
    await_no_text,
    await_text,
    click,
    field,
    look,
    named,
    opened,
    text_of,
)
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


def test_an_experiment_is_started_read_and_ended(
    console: Service, context: BrowserContext, axe: str, operator: dict[str, str]
) -> None:
    page = opened(context, console, view="measure")
    click(page, "Start an experiment")
    for name, value in (
        ("name", "fresh-front"),
        ("hypothesis", "Newer items bring more clicks."),
        ("variant-0", "newer"),
    ):
        field(page, name).fill(value)
    field(page, "feature-0").fill("newnes")
    click(page, "Add a variant")
    field(page, "variant-1").fill("as-before")
    click(page, "Add a variant")
    click(page, "Remove variant 3")
    look(page, axe, "experiment-start")
    field(page, "feature-0").fill("newnes")
    page.keyboard.press("Enter")
    await_text(page, "not a weight that acts on an answer")
    field(page, "feature-0").fill("newness")
    field(page, "guard-conversion").check()
    page.keyboard.press("Enter")
    await_text(page, "fresh-front runs.")
    await_text(page, "Too early")
    found = console.client.get("/experiments/fresh-front", headers=operator).json()["experiment"]["definition"]
    newer, as_before = found["variants"]
    assert (newer["weights"], found["guards"]) == ({"newness": 1}, ["conversion"])
    assert (newer["share"], as_before["name"], as_before["share"]) == (0.5, "as-before", 0.1)
    look(page, axe, "experiment")

    click(page, "Sign out")
    viewer = opened(context, console, VIEWER_TOKEN, "measure")
    await_text(viewer, "Too early")
    for only_for_operators in ("Start an experiment", "Change the shares", "End fresh-front"):
        assert only_for_operators not in text_of(viewer)
    click(viewer, "Sign out")

    page = opened(context, console, view="measure")
    click(page, "Change the shares of fresh-front")
    expect(field(page, "share-newer")).to_be_focused()
    look(page, axe, "experiment-shares")
    click(page, "Cancel")
    expect(named(page, "Change the shares of fresh-front")).to_be_focused()
    click(page, "Change the shares of fresh-front")
    field(page, "share-newer").fill("25.5")
    page.keyboard.press("Enter")
    await_text(page, "fresh-front has other shares; its figures start anew.")
    found = console.client.get("/experiments/fresh-front", headers=operator).json()["experiment"]
    assert (found["shares"], found["experiment"]) == (
        {"control": 0.645, "newer": 0.255, "as-before": 0.1},
        "fresh-front.2",
    )
    await_text(page, "25.5 %")
    click(page, "End fresh-front")
    field(page, "conclusion").fill("no difference")
    click(page, "End it")
    await_text(page, "fresh-front has ended.")
    await_text(page, "Concluded: no difference")
    expect(page.locator("main")).to_be_focused()  # the button that opened the form is gone


def test_a_reader_learns_how_many_users_an_experiment_takes(
    console: Service, context: BrowserContext, axe: str
) -> None:
    page = opened(context, console, VIEWER_TOKEN, "measure")
    click(page, "How many users does it take?")
    for name, value in (("baseline", "5"), ("effect", "10"), ("arrivals", "5000")):
        field(page, name).fill(value)
    page.keyboard.press("Enter")
    await_text(page, "63,629 users of the variant and 63,629 of control")
    await_text(page, "127,258 in all, in 32.5 days.")
    field(page, "metric").select_option("revenue")
    field(page, "baseline").fill("20")
    field(page, "deviation").fill("3")
    click(page, "How many?")
    await_text(page, "are enough in four of five cases")
    look(page, axe, "sample-size")
    field(page, "metric").select_option("ctr")
    field(page, "baseline").fill("120")
    click(page, "How many?")
    assert field(page, "baseline").evaluate("field => field.validity.rangeOverflow")
    field(page, "metric").select_option("revenue")
    field(page, "baseline").fill("20")
    field(page, "deviation").fill("3")
    click(page, "How many?")
    await_text(page, "are enough in four of five cases")
    field(page, "baseline").fill("21")
    await_no_text(page, "are enough")
    click(page, "Sign out")


def test_a_change_of_a_rule_is_undone_from_the_history(
    console: Service, context: BrowserContext, axe: str, operator: dict[str, str]
) -> None:
    for factor in (2, 3):
        rule = {"action": "boost", "category": "camping", "factor": factor}
        assert console.client.put("/rules/camp", json=rule, headers=operator).is_success
    page = opened(context, console, view="merchandise")
    await_text(page, "Boost category camping × 2.00 became Boost category camping × 3.00")
    look(page, axe, "rule-history")
    undo = page.get_by_role("button", name="Undo change")
    undo.click()
    await_text(page, ": undone.")

    def factor_now() -> float:
        found: float = console.client.get("/rules/camp", headers=operator).json()["factor"]
        return found

    eventually(lambda: factor_now() == 2.0)
    undo.click()  # the undo
    eventually(lambda: factor_now() == 3.0)
    click(page, "Sign out")
    viewer = opened(context, console, VIEWER_TOKEN, "merchandise")
    await_text(viewer, "Boost category camping × 2.00 was made")
    assert viewer.get_by_role("button", name="Undo change").count() == 0
    click(viewer, "Sign out")
    assert console.client.delete("/rules/camp", headers=operator).is_success
