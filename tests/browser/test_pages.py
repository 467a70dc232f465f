"""Pages in a real Chromium while the service runs: nothing is lost, and nothing is counted twice."""

import pytest

from tests.browser.shop import await_ledger, opened, reloaded, rows, token_of
from tests.support.chromium import Chromium
from tests.support.database import ask
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("way", ["", "beacon"])
def test_page_that_is_reloaded_or_closed_sends_what_it_had(
    service: Service, browser: Chromium, pages: str, way: str
) -> None:
    tab = opened(browser, pages, service.environment, way)
    ids = reloaded(tab, "views(30)")
    ids += tab.run("views(30)")
    tab.close()
    await_ledger(service, ids)
    again = opened(browser, pages, service.environment, way)
    eventually(lambda: again.run("reco.waiting") == 0)
    await_ledger(service, ids, again)


def test_tab_that_is_offline_keeps_its_events(service: Service, browser: Chromium, pages: str) -> None:
    tab = opened(browser, pages, service.environment)
    ids = tab.run("views(5)")
    await_ledger(service, ids, tab)
    tab.set_offline(offline=True)
    ids += tab.run("views(150)")
    tab.run("reco.flush(), new Promise(resolve => setTimeout(resolve, 2000))")
    assert tab.run("reco.waiting") == 150
    tab.set_offline(offline=False)
    await_ledger(service, ids, tab)


def test_tab_that_is_offline_for_a_minute_sends_all_of_it_afterwards(
    service: Service, browser: Chromium, pages: str
) -> None:
    """A real minute, in which the page goes on, and tries again and again."""
    tab = opened(browser, pages, service.environment)
    tab.set_offline(offline=True)
    ticking = (
        "globalThis.all = []; globalThis.left = performance.now(); "
        "globalThis.ticking = setInterval(() => all.push(view('offline')), 100)"
    )
    tab.run(ticking)
    eventually(lambda: tab.run("performance.now() - left > 60_000"), 90.0)
    ids = tab.run("clearInterval(ticking); all")
    assert len(ids) >= 60  # a page in the background ticks once a second
    assert tab.run("reco.waiting") == len(ids)
    assert tab.run("lost") == []
    tab.set_offline(offline=False)
    await_ledger(service, ids, tab)


def test_clock_that_is_an_hour_ahead_is_corrected(service: Service, browser: Chromium, pages: str) -> None:
    tab = opened(browser, pages, service.environment, "ahead")
    ids = tab.run("views(3)")
    await_ledger(service, ids, tab)
    ids += tab.run("views(3)")
    await_ledger(service, ids, tab)
    latest = "SELECT max(ts_ms) < extract(EPOCH FROM now()) * 1000 + 60000 FROM events"
    assert ask(service.environment["DATABASE_URL"], latest) is True


def test_only_places_that_were_seen_are_an_impression_of_the_visitor(
    service: Service, browser: Chromium, pages: str
) -> None:
    tab = opened(browser, pages, service.environment)
    visitor = tab.run("reco.user")
    tab.run(f"reco.identify('carol', '{token_of('carol')}')")
    tab.run(
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
    tab.run("scrollTo(0, 1600)")
    eventually(lambda: len(rows(service, payload)) == 2, describe=service.describe)
    tab.run("shown.stop()")
    places = sorted(item["position"] for event in rows(service, payload) for item in event["items"])
    assert places[0] == 0
    assert len(set(places)) == len(places)
    reloaded(tab)
    assert tab.run("reco.user") == "carol"
    tab.run("reco.reset()")
    assert tab.run("reco.user") not in ("carol", visitor)
