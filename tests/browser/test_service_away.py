"""Pages in a real Chromium while the service is away or killed: nothing is lost, and nothing is counted twice."""

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.shop import await_ledger, opened, reloaded
from tests.support.service import running

pytestmark = pytest.mark.slow


def test_two_tabs_share_what_waits_and_nothing_is_counted_twice(
    environment_of_shop: dict[str, str], context: BrowserContext, pages: str
) -> None:
    """While the service is away; one of the tabs is reloaded, the other closed, and a third one opened."""
    first, second = opened(context, pages, environment_of_shop), opened(context, pages, environment_of_shop)
    ids = []
    for _ in range(3):
        ids += first.evaluate("views(20)")
        ids += second.evaluate("views(20)")
    reloaded(first)
    second.close()
    third = opened(context, pages, environment_of_shop)
    ids += third.evaluate("views(20)")
    assert third.evaluate("reco.waiting") == 140
    with running(environment_of_shop) as service:
        await_ledger(service, ids, first)
        await_ledger(service, ids, third)


def test_service_that_is_killed_meanwhile_gets_every_event(
    environment_of_shop: dict[str, str], context: BrowserContext, pages: str
) -> None:
    with running(environment_of_shop) as service:
        page = opened(context, pages, environment_of_shop)
        page.evaluate("globalThis.all = []; globalThis.ticking = setInterval(() => all.push(view('ticking')), 20)")
        page.wait_for_function("all.length > 100 && reco.waiting < 50")
        service.kill()
    page.wait_for_function("before => all.length > before + 100", arg=page.evaluate("all.length"))
    with running(environment_of_shop) as service:
        ids = page.evaluate("clearInterval(ticking); all")
        await_ledger(service, ids, page)
