"""The flow as a person sees it: it changes in place, and what breaks is red where it is."""

import pytest

from tests.browser.console.looking import await_text, look, opened, text_of
from tests.support.chromium import Chromium, Tab
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow

EVENT = {"user_id": "ann", "session_id": "s1", "item_id": "tent", "event_type": "view"}


def figure(tab: Tab, stage: str) -> str:
    return str(tab.run(f"document.querySelector('[data-stage={stage}] dd').innerText"))


def test_first_visit_turns_green_and_the_flow_changes_in_place(
    console: Service, browser: Chromium, axe: str, operator: dict[str, str]
) -> None:
    tab = opened(browser, console, view="live")
    await_text(tab, "First steps")
    eventually(lambda: text_of(tab).count("still to do") == 2, describe=lambda: text_of(tab))
    look(tab, axe, "first-visit")
    tab.run("document.querySelector('[data-stage=api]').dataset.kept = 'yes'")
    assert console.client.post("/event", json=EVENT, headers=operator).status_code == 202
    eventually(lambda: text_of(tab).count("still to do") == 1, describe=lambda: text_of(tab))
    assert console.client.put("/items/tent", json={"title": "A tent"}, headers=operator).status_code == 201
    eventually(lambda: "First steps" not in text_of(tab), describe=lambda: text_of(tab))

    def counted() -> bool:
        console.client.post("/event", json=EVENT, headers=operator)
        return figure(tab, "features") not in ("–", "0.0/s")

    eventually(counted, 30.0, lambda: text_of(tab))
    assert tab.run("document.querySelector('[data-stage=api]').dataset.kept") == "yes"
    look(tab, axe, "live")


def test_stage_that_needs_a_look_says_what_the_incident_plan_says(
    console: Service, browser: Chromium, axe: str, poison: int
) -> None:
    tab = opened(browser, console, view="live")
    await_text(tab, f"{poison:,} dead letters wait for a decision")
    await_text(tab, "Incident plan: Consumer lag growing")
    state = "document.querySelector('[data-stage=features]').classList.contains('degraded')"
    assert tab.run(state)
    look(tab, axe, "live-degraded")
