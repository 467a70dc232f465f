"""The flow as a person sees it: it changes in place, and what breaks is red where it is."""

import psycopg
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from app.devstack.ports import choose
from tests.browser.console.looking import (
    OPS_TOKEN,
    await_no_text,
    await_text,
    await_true,
    click,
    field,
    look,
    opened,
    text_of,
)
from tests.support.service import Service, eventually, running

pytestmark = pytest.mark.slow

NOWHERE = "redis://127.0.0.1:1/0"
# Of an EventSource.
OPEN, CLOSED = 1, 2
EVENT = {"user_id": "ann", "session_id": "s1", "item_id": "tent", "event_type": "view"}


NOTE_STREAMS = """window.streams = []; { const Real = EventSource; window.EventSource = class extends Real {
    constructor(url) { super(url); streams.push(this) } }; null }"""
HIDE = """hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
    document.dispatchEvent(new Event('visibilitychange')) }"""


def stage(page: Page, name: str, state: str = "") -> Locator:
    """The box of a stage; with a state such as `.ok`, only while it is in it."""
    return page.locator(f"[data-stage={name}]{state}")


def test_first_visit_turns_green_and_the_flow_changes_in_place(
    console: Service, context: BrowserContext, axe: str, operator: dict[str, str]
) -> None:
    page = opened(context, console, view="live")
    expect(page.get_by_text("still to do")).to_have_count(2)
    look(page, axe, "first-visit")
    stage(page, "api").evaluate("box => { box.dataset.kept = 'yes' }")
    assert console.client.post("/event", json=EVENT, headers=operator).status_code == 202
    expect(page.get_by_text("still to do")).to_have_count(1)
    assert console.client.put("/items/tent", json={"title": "A tent"}, headers=operator).status_code == 201
    expect(page.get_by_text("✓ done")).to_have_count(3)
    look(page, axe, "first-visit-done")
    click(page, "Close")
    expect(page.get_by_role("heading", name="First steps")).to_be_hidden()

    def counted() -> bool:
        console.client.post("/event", json=EVENT, headers=operator)
        return stage(page, "features").locator("dd").first.inner_text() not in ("–", "0.0/s")

    eventually(counted, 30.0, lambda: text_of(page))
    expect(stage(page, "api")).to_have_attribute("data-kept", "yes")
    look(page, axe, "live")


def test_boxes_are_not_green_while_no_samples_come(console: Service, context: BrowserContext, axe: str) -> None:
    page = opened(context, console, view="live")
    expect(stage(page, "api", ".ok")).to_be_visible()
    page.evaluate(NOTE_STREAMS)
    console.freeze()  # the stream stays open
    try:
        await_text(page, "No samples come any more.")
        await_true(page, "streams.length")  # another one is tried
        expect(page.locator(".flow > .stale").get_by_text("Not known now")).to_have_count(5)
        look(page, axe, "live-stale")
    finally:
        console.thaw()
    expect(stage(page, "api", ".ok")).to_be_visible()
    assert "No samples come" not in text_of(page)


def test_tab_that_is_hidden_has_no_stream(console: Service, context: BrowserContext) -> None:
    """All tabs of a browser share six connections to a host: with six streams nothing else would be answered."""
    page = opened(context, console, view="model")
    await_text(page, "Versions")
    page.evaluate(NOTE_STREAMS)
    click(page, "Live")
    expect(stage(page, "api")).to_be_visible()
    page.evaluate(HIDE, True)
    assert page.evaluate("streams.map(one => one.readyState)") == [CLOSED]
    page.evaluate(HIDE, False)
    await_true(page, f"streams[1]?.readyState === {OPEN}")
    click(page, "Ranking")
    await_text(page, "Versions")
    page.evaluate(HIDE, False)
    assert page.evaluate("streams.map(one => one.readyState)") == [CLOSED, CLOSED]


def test_reader_pauses_what_changes_by_itself(console: Service, context: BrowserContext, axe: str) -> None:
    page = opened(context, console, view="model")
    await_text(page, "Versions")
    page.evaluate(NOTE_STREAMS)
    click(page, "Live")
    expect(stage(page, "api")).to_be_visible()
    click(page, "Pause")
    await_text(page, "Paused: what you see is of ")
    look(page, axe, "live-paused")
    page.evaluate(HIDE, True)
    page.evaluate(HIDE, False)
    assert page.evaluate("streams.map(one => one.readyState)") == [CLOSED]
    click(page, "Pause")
    await_true(page, f"streams[1]?.readyState === {OPEN}")
    await_no_text(page, "Paused")


def test_view_that_was_left_opens_no_stream(console: Service, context: BrowserContext) -> None:
    page = opened(context, console, view="model")
    await_text(page, "Versions")
    page.evaluate(NOTE_STREAMS)
    context.clear_cookies()
    click(page, "Live")
    await_text(page, "Your session has ended.")
    assert page.evaluate("streams.map(one => one.readyState)") == [CLOSED]
    field(page, "key").fill(OPS_TOKEN)
    click(page, "Sign in")
    expect(stage(page, "api")).to_be_visible()
    assert page.evaluate("streams.map(one => one.readyState)") == [CLOSED, OPEN]


def test_task_without_a_box_says_what_it_complains_of(console: Service, context: BrowserContext, axe: str) -> None:
    page = opened(context, console, view="live")
    expect(stage(page, "api", ".ok")).to_be_visible()
    assert "The task" not in text_of(page)
    with psycopg.connect(console.environment["DATABASE_URL"]) as database:
        database.execute("LOCK TABLE analytics_progress IN ACCESS EXCLUSIVE MODE")
        await_text(page, "The task maintenance")
        await_text(page, "the roll-up of analytics fails: ")
        look(page, axe, "live-task")
    await_no_text(page, "The task")


def test_stage_that_needs_a_look_says_what_the_incident_plan_says(
    console: Service, context: BrowserContext, axe: str, poison: int
) -> None:
    page = opened(context, console, view="live")
    await_text(page, f"{poison:,} dead letters wait for a decision")
    await_text(page, "Incident plan: Consumer lag growing")
    # What is read aloud has no figure that may change with each sample.
    expect(page.get_by_role("status").filter(has_text="Features")).to_have_text("Features: Needs a look.")
    expect(stage(page, "features", ".degraded")).to_be_visible()
    look(page, axe, "live-degraded")
    click(page, "Open them")
    await_text(page, f"{poison:,} found")


def test_broken_dependency_is_red_where_it_is(console: Service, context: BrowserContext, axe: str) -> None:
    without = {**console.environment, "ROLE": "api", "HTTP_PORT": str(choose()), "ONLINE_CACHE_REDIS_URL": NOWHERE}
    with running(without) as service:
        page = opened(context, service, view="live")
        expect(stage(page, "cache", ".down")).to_contain_text("Down")
        expect(stage(page, "cache")).to_contain_text("Redis: ")
        await_text(page, "histories come from Postgres. Start Redis")
        assert stage(page, "features", ".down").count() == 0
        look(page, axe, "live-down")
