"""The flow as a person sees it: it changes in place, and what breaks is red where it is."""

import psycopg
import pytest

from app.devstack.ports import choose
from tests.browser.console.looking import OPS_TOKEN, await_text, click, fill, look, opened, shown, text_of
from tests.support.chromium import Chromium, Tab
from tests.support.service import Service, eventually, running

pytestmark = pytest.mark.slow

NOWHERE = "redis://127.0.0.1:1/0"
# Of an EventSource.
OPEN, CLOSED = 1, 2
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
    eventually(lambda: text_of(tab).count("✓ done") == 3, describe=lambda: text_of(tab))
    look(tab, axe, "first-visit-done")
    click(tab, "Close")
    eventually(lambda: "First steps" not in text_of(tab), describe=lambda: text_of(tab))

    def counted() -> bool:
        console.client.post("/event", json=EVENT, headers=operator)
        return figure(tab, "features") not in ("–", "0.0/s")

    eventually(counted, 30.0, lambda: text_of(tab))
    assert tab.run("document.querySelector('[data-stage=api]').dataset.kept") == "yes"
    look(tab, axe, "live")


def test_boxes_are_not_green_while_no_samples_come(console: Service, browser: Chromium, axe: str) -> None:
    tab = opened(browser, console, view="live")
    eventually(lambda: shown(tab, "[data-stage=api].ok"), describe=lambda: text_of(tab))
    console.freeze()  # the stream stays open
    try:
        await_text(tab, "No samples come any more.")
        assert tab.run("document.querySelectorAll('.flow > .stale').length") == 5
        assert text_of(tab).count("Not known now") == 5
        look(tab, axe, "live-stale")
    finally:
        console.thaw()
    eventually(lambda: shown(tab, "[data-stage=api].ok"), 30.0, describe=lambda: text_of(tab))
    assert "No samples come" not in text_of(tab)


def test_view_that_was_left_opens_no_stream(console: Service, browser: Chromium) -> None:
    tab = opened(browser, console, view="model")
    await_text(tab, "Versions")
    tab.run(
        "window.streams = []; { const Real = EventSource; window.EventSource = class extends Real {"
        "constructor(url) { super(url); streams.push(this) } } }"
    )
    tab.call("Network.clearBrowserCookies")
    click(tab, "Live")
    await_text(tab, "Your session has ended.")
    assert tab.run("streams.map(one => one.readyState)") == [CLOSED]
    fill(tab, "input[name=key]", OPS_TOKEN)
    click(tab, "Sign in")
    eventually(lambda: shown(tab, "[data-stage=api]"), describe=lambda: text_of(tab))
    assert tab.run("streams.map(one => one.readyState)") == [CLOSED, OPEN]


def test_task_without_a_box_says_what_it_complains_of(console: Service, browser: Chromium, axe: str) -> None:
    tab = opened(browser, console, view="live")
    eventually(lambda: shown(tab, "[data-stage=api].ok"), describe=lambda: text_of(tab))
    assert "The task" not in text_of(tab)
    with psycopg.connect(console.environment["DATABASE_URL"]) as database:
        database.execute("LOCK TABLE analytics_progress IN ACCESS EXCLUSIVE MODE")
        await_text(tab, "The task maintenance")
        await_text(tab, "the roll-up of analytics fails: ")
        look(tab, axe, "live-task")
    eventually(lambda: "The task" not in text_of(tab), 30.0, describe=lambda: text_of(tab))


def test_stage_that_needs_a_look_says_what_the_incident_plan_says(
    console: Service, browser: Chromium, axe: str, poison: int
) -> None:
    tab = opened(browser, console, view="live")
    await_text(tab, f"{poison:,} dead letters wait for a decision")
    await_text(tab, "Incident plan: Consumer lag growing")
    state = "document.querySelector('[data-stage=features]').classList.contains('degraded')"
    assert tab.run(state)
    look(tab, axe, "live-degraded")
    click(tab, "Open them")
    await_text(tab, f"{poison:,} found")


def test_broken_dependency_is_red_where_it_is(console: Service, browser: Chromium, axe: str) -> None:
    without = {**console.environment, "ROLE": "api", "HTTP_PORT": str(choose()), "ONLINE_CACHE_REDIS_URL": NOWHERE}
    with running(without) as service:
        tab = opened(browser, service, view="live")
        eventually(lambda: shown(tab, "[data-stage=cache].down"), describe=lambda: text_of(tab))
        box = str(tab.run("document.querySelector('[data-stage=cache]').innerText"))
        assert "Down" in box
        assert "Redis: " in box
        assert "histories come from Postgres. Start Redis" in text_of(tab)
        assert not shown(tab, "[data-stage=features].down")
        look(tab, axe, "live-down")
