"""Pages in a real Chromium while the service runs: nothing is lost, and nothing is counted twice."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.shop import await_ledger, opened, reloaded, rows, token_of
from tests.support.database import ask
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow

LIST: Final = """async () => {
  const items = [{ item_id: "place-0", score: 1, source: "popular" }];
  const list = { request_id: "hidden-list", items, model_version: "weights-1", strategy: "popular" };
  const element = document.getElementById("items").appendChild(document.createElement("div"));
  element.className = "item";
  globalThis.shown = reco.shown(list);
  shown.observe(element, 0);
  await new Promise((seen) => new IntersectionObserver(seen).observe(element));
}"""
HIDDEN: Final = """hidden => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.mark.parametrize("way", ["", "beacon"])
def test_page_that_is_reloaded_or_closed_sends_what_it_had(
    service: Service, context: BrowserContext, pages: str, way: str
) -> None:
    page = opened(context, pages, service.environment, way)
    ids = reloaded(page, "views(30)")
    ids += page.evaluate("views(30)")
    page.close()
    await_ledger(service, ids)
    again = opened(context, pages, service.environment, way)
    await_ledger(service, ids, again)


def test_events_of_any_size_hold_up_no_others(service: Service, context: BrowserContext, pages: str) -> None:
    """A browser lets 64 KiB outlast the page, counted in bytes: of letters that take three, and of a large event."""
    page = opened(context, pages, service.environment)
    page.evaluate("reco.send({ event_type: 'view', item_id: 'large', context: { note: 'x'.repeat(70_000) } })")
    wide = "reco.send({ event_type: 'view', item_id: 'wide', context: { note: '\u5e83'.repeat(900) } })"
    ids = page.evaluate(f"Array.from({{ length: 60 }}, () => {wide})")
    await_ledger(service, ids)
    page.wait_for_function("reco.waiting === 0")
    (told,) = page.evaluate("lost.map(told => told.slice(0, 300))")
    assert told.startswith("invalid")


def test_tab_that_is_offline_keeps_its_events(service: Service, context: BrowserContext, pages: str) -> None:
    page = opened(context, pages, service.environment)
    ids = page.evaluate("views(5)")
    await_ledger(service, ids, page)
    context.set_offline(True)
    ids += page.evaluate("views(150)")
    page.evaluate("reco.flush(), new Promise(resolve => setTimeout(resolve, 2000))")
    assert page.evaluate("reco.waiting") == 150
    context.set_offline(False)
    await_ledger(service, ids, page)


@pytest.mark.timeout(240)
def test_tab_that_is_offline_for_a_minute_sends_all_of_it_afterwards(
    service: Service, context: BrowserContext, pages: str
) -> None:
    """A real minute, in which the page goes on, and tries again and again."""
    page = opened(context, pages, service.environment)
    context.set_offline(True)
    page.evaluate(
        "globalThis.all = []; globalThis.left = performance.now(); "
        "globalThis.ticking = setInterval(() => all.push(view('offline')), 100)"
    )
    page.wait_for_function("performance.now() - left > 60_000", timeout=90_000)
    ids = page.evaluate("clearInterval(ticking); all")
    assert len(ids) >= 60
    assert page.evaluate("reco.waiting") == len(ids)
    assert page.evaluate("lost") == []
    context.set_offline(False)
    await_ledger(service, ids, page)


def test_clock_that_is_an_hour_ahead_is_corrected(service: Service, context: BrowserContext, pages: str) -> None:
    context.add_init_script("const now = Date.now; Date.now = () => now() + 3_600_000")
    page = opened(context, pages, service.environment)
    ids = page.evaluate("views(3)")
    await_ledger(service, ids, page)
    ids += page.evaluate("views(3)")
    await_ledger(service, ids, page)
    latest = "SELECT max(ts_ms) < extract(EPOCH FROM now()) * 1000 + 60000 FROM events"
    assert ask(service.environment["DATABASE_URL"], latest) is True


def test_only_places_that_were_seen_are_an_impression_of_the_visitor(
    service: Service, context: BrowserContext, pages: str
) -> None:
    page = opened(context, pages, service.environment)
    page.set_viewport_size({"width": 800, "height": 500})  # an item and a quarter
    visitor = page.evaluate("reco.user")
    page.evaluate("token => reco.identify('carol', token)", token_of("carol"))
    page.evaluate(
        "const items = Array.from({ length: 4 }, (_, place) => ({ item_id: 'place-' + place, score: 1, "
        "source: 'popular' }));"
        "const list = { request_id: 'the-list', items, model_version: 'weights-1', strategy: 'popular' };"
        "globalThis.shown = reco.shown(list, { feed_id: 'home' });"
        "items.forEach((_, place) => { const element = document.createElement('div'); element.className = 'item';"
        "document.getElementById('items').append(element); shown.observe(element, place); })"
    )
    payload = "SELECT payload FROM events WHERE request_id = 'the-list'"
    found = eventually(lambda: rows(service, payload), describe=service.describe)
    assert [(event["user_id"], [item["position"] for item in event["items"]]) for event in found] == [("carol", [0])]
    assert found[0]["items"][0] == {"item_id": "place-0", "position": 0, "feed_id": "home"}
    assert found[0]["context"] == {"model_version": "weights-1", "sources": ["popular"]}
    page.evaluate("scrollTo(0, 1600)")
    eventually(lambda: len(rows(service, payload)) == 2, describe=service.describe)
    page.evaluate("shown.stop()")
    places = sorted(item["position"] for event in rows(service, payload) for item in event["items"])
    assert places[0] == 0
    assert len(set(places)) == len(places)
    reloaded(page)
    assert page.evaluate("reco.user") == "carol"
    page.evaluate("reco.reset()")
    assert page.evaluate("reco.user") not in ("carol", visitor)


def test_hidden_tab_shows_nothing_until_it_is_in_front(service: Service, context: BrowserContext, pages: str) -> None:
    page = opened(context, pages, service.environment)
    page.clock.install()
    page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    page.evaluate(HIDDEN, True)
    page.evaluate(LIST)
    page.clock.run_for(10_000)
    assert page.evaluate("shown.flush(); reco.waiting") == 0
    page.evaluate(HIDDEN, False)
    page.clock.run_for(900)
    page.evaluate(HIDDEN, True)
    page.clock.run_for(10_000)
    assert page.evaluate("shown.flush(); reco.waiting") == 0
    page.evaluate(HIDDEN, False)
    page.clock.run_for(1_000)
    assert page.evaluate("shown.stop(); reco.waiting") == 1
