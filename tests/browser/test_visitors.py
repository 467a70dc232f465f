"""Pages with a key that anybody can see act for their visitor alone, or for the user whom the shop's server names."""

import httpx
import pytest
from playwright.sync_api import BrowserContext

from tests.browser.shop import SERVER_TOKEN, await_ledger, opened, reloaded, token_of
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


def recent(service: Service, user_id: str) -> set[str]:
    """As the shop's server sees it."""
    answer = httpx.get(f"{service.url}/users/{user_id}/recent", headers={"x-api-key": SERVER_TOKEN})
    return {item["item_id"] for item in answer.json()["items"]}


def test_log_in_joins_and_the_next_person_begins_anew(service: Service, context: BrowserContext, pages: str) -> None:
    page = opened(context, pages, service.environment)
    visitor = page.evaluate("reco.user")
    assert visitor.startswith("visitor:")
    ids = [page.evaluate("view('tent')")]
    page.evaluate("token => reco.identify('hana', token)", token_of("hana"))
    ids += [page.evaluate("view('stove')")]
    await_ledger(service, ids, page)
    eventually(lambda: recent(service, "hana") == {"tent", "stove"}, describe=service.describe)
    mine = "reco.recent().then(list => list.items.map(item => item.item_id).sort())"
    assert page.evaluate(mine) == ["stove", "tent"]
    assert reloaded(page) is None
    assert page.evaluate(mine) == ["stove", "tent"]

    # What the one before did is still that one's, though it is sent when another person is there.
    context.set_offline(True)
    ids += [page.evaluate("view('lamp')")]
    page.evaluate("reco.reset()")
    ids += [page.evaluate("view('rope')")]
    stranger = page.evaluate("reco.user")
    assert stranger not in (visitor, "hana")
    context.set_offline(False)
    await_ledger(service, ids, page)
    eventually(lambda: recent(service, "hana") == {"tent", "stove", "lamp"}, describe=service.describe)
    assert (page.evaluate(mine), recent(service, stranger)) == (["rope"], {"rope"})


def test_events_wait_for_another_token(service: Service, context: BrowserContext, pages: str) -> None:
    page = opened(context, pages, service.environment)
    page.evaluate("token => reco.identify('erin', token)", token_of("erin", -600.0))
    ids = [page.evaluate("view('tent')")]
    page.evaluate("reco.flush(), new Promise(resolve => setTimeout(resolve, 1000))")
    assert (page.evaluate("reco.waiting"), page.evaluate("lost")) == (1, [])
    page.evaluate("token => { tokens.erin = token }", token_of("erin"))
    await_ledger(service, ids, page)
    assert recent(service, "erin") == {"tent"}


def test_user_without_a_token_is_told(service: Service, context: BrowserContext, pages: str) -> None:
    page = opened(context, pages, service.environment)
    page.evaluate("reco.identify('mallory')")
    page.evaluate("view('tent')")
    page.wait_for_function("lost.length > 0")
    (reason,) = page.evaluate("lost")
    assert "$.user_id" in reason
    refused = "reco.recommend().catch(error => [error.status, error.problem.code])"
    assert page.evaluate(refused) == [403, "other_user"]
