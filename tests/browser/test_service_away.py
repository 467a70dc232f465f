"""Pages in a real Chromium while the service is away or killed: nothing is lost, and nothing is counted twice."""

import pytest

from tests.browser.shop import await_ledger, opened, reloaded
from tests.support.chromium import Chromium
from tests.support.service import eventually, running

pytestmark = pytest.mark.slow


def test_two_tabs_share_what_waits_and_nothing_is_counted_twice(
    environment_of_shop: dict[str, str], browser: Chromium, pages: str
) -> None:
    """While the service is away; one of the tabs is reloaded, the other closed, and a third one opened."""
    first, second = opened(browser, pages, environment_of_shop), opened(browser, pages, environment_of_shop)
    ids = []
    for _ in range(3):
        ids += first.run("views(20)")
        ids += second.run("views(20)")
    reloaded(first)
    second.close()
    third = opened(browser, pages, environment_of_shop)
    ids += third.run("views(20)")
    assert third.run("reco.waiting") == 140
    with running(environment_of_shop) as service:
        await_ledger(service, ids, first)
        await_ledger(service, ids, third)


def test_service_that_is_killed_meanwhile_gets_every_event(
    environment_of_shop: dict[str, str], browser: Chromium, pages: str
) -> None:
    with running(environment_of_shop) as service:
        tab = opened(browser, pages, environment_of_shop)
        tab.run("globalThis.all = []; globalThis.ticking = setInterval(() => all.push(view('ticking')), 20)")
        eventually(lambda: len(tab.run("all")) > 100 and tab.run("reco.waiting") < 50, describe=service.describe)
        service.kill()
    count = len(tab.run("all"))
    eventually(lambda: len(tab.run("all")) > count + 100)
    with running(environment_of_shop) as service:
        ids = tab.run("clearInterval(ticking); all")
        await_ledger(service, ids, tab)
