"""Pages with a key that anybody can see act for their visitor alone, or for the user whom the shop's server names."""

import json

import httpx
import pytest

from tests.browser.shop import SERVER_TOKEN, await_ledger, opened, reloaded, token_of
from tests.support.chromium import Chromium
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


def recent(service: Service, user_id: str) -> set[str]:
    """As the shop's server sees it."""
    answer = httpx.get(f"{service.url}/users/{user_id}/recent", headers={"x-api-key": SERVER_TOKEN})
    return {item["item_id"] for item in answer.json()["items"]}


def test_log_in_joins_and_the_next_person_begins_anew(service: Service, browser: Chromium, pages: str) -> None:
    tab = opened(browser, pages, service.environment)
    visitor = tab.run("reco.user")
    assert visitor.startswith("visitor:")
    ids = [tab.run("view('tent')")]
    tab.run(f"reco.identify('hana', '{token_of('hana')}')")
    ids += [tab.run("view('stove')")]
    await_ledger(service, ids, tab)
    eventually(lambda: recent(service, "hana") == {"tent", "stove"}, describe=service.describe)
    mine = "reco.recent().then(list => list.items.map(item => item.item_id).sort())"
    assert tab.run(mine) == ["stove", "tent"]
    assert reloaded(tab) is None
    assert tab.run(mine) == ["stove", "tent"]

    # What the one before did is still that one's, though it is sent when another person is there.
    tab.set_offline(offline=True)
    ids += [tab.run("view('lamp')")]
    tab.run("reco.reset()")
    ids += [tab.run("view('rope')")]
    stranger = tab.run("reco.user")
    assert stranger not in (visitor, "hana")
    tab.set_offline(offline=False)
    await_ledger(service, ids, tab)
    eventually(lambda: recent(service, "hana") == {"tent", "stove", "lamp"}, describe=service.describe)
    assert (tab.run(mine), recent(service, stranger)) == (["rope"], {"rope"})


def test_events_wait_for_another_token(service: Service, browser: Chromium, pages: str) -> None:
    tab = opened(browser, pages, service.environment)
    tab.run(f"reco.identify('erin', '{token_of('erin', -600.0)}')")
    ids = [tab.run("view('tent')")]
    tab.run("reco.flush(), new Promise(resolve => setTimeout(resolve, 1000))")
    assert (tab.run("reco.waiting"), tab.run("lost")) == (1, [])
    tab.run(f"tokens.erin = {json.dumps(token_of('erin'))}")
    await_ledger(service, ids, tab)
    assert recent(service, "erin") == {"tent"}


def test_user_without_a_token_is_told(service: Service, browser: Chromium, pages: str) -> None:
    tab = opened(browser, pages, service.environment)
    tab.run("reco.identify('mallory')")
    tab.run("view('tent')")
    (reason,) = eventually(lambda: tab.run("lost"))
    assert "$.user_id" in reason
    refused = "reco.recommend().catch(error => [error.status, error.problem.code])"
    assert tab.run(refused) == [403, "other_user"]
