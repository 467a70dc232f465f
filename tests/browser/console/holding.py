"""Holds back what a page asks for, so that other things happen before the answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, Route

from tests.browser.console.looking import text_of

_LOOK_EVERY_MS = 20
_LOOKS = 1_000


def settle(page: Page) -> None:
    """Lets the page show what has arrived."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


@contextmanager
def held(page: Page, url: str, method: str = "GET") -> Iterator[Callable[[], None]]:
    """Requests of this method wait until the block ends, and are answered then. What it yields returns once the page
    has made one.
    """
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == method:
            waiting.append(route)
        else:
            route.fallback()

    def is_asked() -> None:
        for _ in range(_LOOKS):
            if waiting:
                return
            page.wait_for_timeout(_LOOK_EVERY_MS)
        raise AssertionError(f"nothing asked for {url}: {text_of(page)}")

    page.route(url, hold)
    yield is_asked
    for route in waiting:
        route.continue_()
        if (answer := route.request.response()) is not None:
            answer.finished()
    page.unroute(url, hold)
    settle(page)
