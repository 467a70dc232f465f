"""What product people do with experiments, and merchandisers with the history of the rules."""

import pytest

from tests.browser.console.looking import (
    VIEWER_TOKEN,
    await_text,
    choose,
    click,
    fill,
    focused,
    look,
    opened,
    press,
    shown,
    text_of,
)
from tests.support.chromium import Chromium
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


def test_an_experiment_is_started_read_and_ended(
    console: Service, browser: Chromium, axe: str, operator: dict[str, str]
) -> None:
    tab = opened(browser, console, view="measure")
    click(tab, "Start an experiment")
    for field, value in (
        ("name", "fresh-front"),
        ("hypothesis", "Newer items bring more clicks."),
        ("variant-0", "newer"),
    ):
        fill(tab, f"input[name={field}]", value)
    fill(tab, "input[name=feature-0]", "newnes")
    click(tab, "Add a variant")
    fill(tab, "input[name=variant-1]", "as-before")
    click(tab, "Add a variant")
    click(tab, "Remove variant 3")
    look(tab, axe, "experiment-start")
    fill(tab, "input[name=feature-0]", "newnes")
    press(tab, "Enter")
    await_text(tab, "not a weight that acts on an answer")
    fill(tab, "input[name=feature-0]", "newness")
    tab.run("document.querySelector('input[name=guard-conversion]').click()")
    press(tab, "Enter")
    await_text(tab, "fresh-front runs.")
    await_text(tab, "Too early")
    found = console.client.get("/experiments/fresh-front", headers=operator).json()["experiment"]["definition"]
    newer, as_before = found["variants"]
    assert (newer["weights"], found["guards"]) == ({"newness": 1}, ["conversion"])
    assert (newer["share"], as_before["name"], as_before["share"]) == (0.5, "as-before", 0.1)
    look(tab, axe, "experiment")

    click(tab, "Sign out")
    viewer = opened(browser, console, VIEWER_TOKEN, "measure")
    await_text(viewer, "Too early")
    assert "Start an experiment" not in text_of(viewer)
    assert "Change the shares" not in text_of(viewer)
    assert "End fresh-front" not in text_of(viewer)
    click(viewer, "Sign out")

    tab = opened(browser, console, view="measure")
    click(tab, "Change the shares of fresh-front")
    eventually(lambda: tab.run("document.activeElement.name") == "share-newer")
    look(tab, axe, "experiment-shares")
    click(tab, "Cancel")
    eventually(lambda: focused(tab) == "Change the shares of fresh-front", describe=lambda: focused(tab))
    click(tab, "Change the shares of fresh-front")
    fill(tab, "input[name=share-newer]", "25.5")
    press(tab, "Enter")
    await_text(tab, "fresh-front has other shares; its figures start anew.")
    found = console.client.get("/experiments/fresh-front", headers=operator).json()["experiment"]
    assert (found["shares"], found["experiment"]) == (
        {"control": 0.645, "newer": 0.255, "as-before": 0.1},
        "fresh-front.2",
    )
    await_text(tab, "25.5 %")
    click(tab, "End fresh-front")
    fill(tab, "input[name=conclusion]", "no difference")
    click(tab, "End it")
    await_text(tab, "fresh-front has ended.")
    await_text(tab, "Concluded: no difference")
    eventually(lambda: tab.run("document.activeElement.id") == "main")  # the button that opened the form is gone


def test_a_reader_learns_how_many_users_an_experiment_takes(console: Service, browser: Chromium, axe: str) -> None:
    tab = opened(browser, console, VIEWER_TOKEN, "measure")
    click(tab, "How many users does it take?")
    for field, value in (("baseline", "5"), ("effect", "10"), ("arrivals", "5000")):
        fill(tab, f"input[name={field}]", value)
    press(tab, "Enter")
    await_text(tab, "63,629 users of the variant and 63,629 of control")
    await_text(tab, "127,258 in all, in 32.5 days.")
    choose(tab, "select[name=metric]", "revenue")
    fill(tab, "input[name=baseline]", "20")
    fill(tab, "input[name=deviation]", "3")
    click(tab, "How many?")
    await_text(tab, "are enough in four of five cases")
    look(tab, axe, "sample-size")
    choose(tab, "select[name=metric]", "ctr")
    fill(tab, "input[name=baseline]", "120")
    click(tab, "How many?")
    assert tab.run("document.querySelector('input[name=baseline]').validity.rangeOverflow")
    choose(tab, "select[name=metric]", "revenue")
    fill(tab, "input[name=baseline]", "20")
    fill(tab, "input[name=deviation]", "3")
    click(tab, "How many?")
    await_text(tab, "are enough in four of five cases")
    fill(tab, "input[name=baseline]", "21")
    eventually(lambda: "are enough" not in text_of(tab), describe=lambda: text_of(tab))
    click(tab, "Sign out")


def test_a_change_of_a_rule_is_undone_from_the_history(
    console: Service, browser: Chromium, axe: str, operator: dict[str, str]
) -> None:
    for factor in (2, 3):
        rule = {"action": "boost", "category": "camping", "factor": factor}
        assert console.client.put("/rules/camp", json=rule, headers=operator).is_success
    tab = opened(browser, console, view="merchandise")
    await_text(tab, "Boost category camping × 2.00 became Boost category camping × 3.00")
    look(tab, axe, "rule-history")
    click(tab, "Undo change")
    await_text(tab, ": undone.")

    def factor_now() -> float:
        found: float = console.client.get("/rules/camp", headers=operator).json()["factor"]
        return found

    eventually(lambda: factor_now() == 2.0)
    click(tab, "Undo change")  # the undo
    eventually(lambda: factor_now() == 3.0)
    click(tab, "Sign out")
    viewer = opened(browser, console, VIEWER_TOKEN, "merchandise")
    await_text(viewer, "Boost category camping × 2.00 was made")
    assert not shown(viewer, "[aria-label^='Undo change']")
    click(viewer, "Sign out")
    assert console.client.delete("/rules/camp", headers=operator).is_success
