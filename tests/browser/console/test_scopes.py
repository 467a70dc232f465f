"""What a key may not do is not offered: no view and no button asks for what is refused."""

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Response, expect

from tests.browser.console.looking import (
    SCOPED,
    VIEWER_TOKEN,
    await_no_text,
    await_text,
    click,
    opened,
    views,
)
from tests.support.service import Service

pytestmark = pytest.mark.slow


@pytest.fixture
def goods(console: Service, operator: dict[str, str]) -> None:
    """Something to see in each view."""
    client = console.client
    assert client.put("/items/tent", json={"title": "A tent"}, headers=operator).is_success
    boost = {"action": "boost", "item_id": "tent", "factor": 2}
    assert client.put("/rules/r1", json=boost, headers=operator).is_success
    event = {"user_id": "ann", "session_id": "s1", "item_id": "tent", "event_type": "purchase"}
    assert client.post("/event", json=event, headers=operator).is_success
    new = {"name": "bold", "hypothesis": "More.", "variants": [{"name": "b", "share": 0.5}], "primary": "ctr"}
    assert client.post("/experiments", json=new, headers=operator).status_code in (201, 409)


@pytest.fixture
def refused(context: BrowserContext) -> list[str]:
    """What the page asked for and did not get."""
    found: list[str] = []

    def answered(answer: Response) -> None:
        if answer.status >= 400:
            found.append(f"{answer.status} {answer.url}")

    context.on("response", answered)
    return found


def await_quiet(page: Page) -> None:
    """The view is there, and nothing went wrong that it asked for."""
    expect(page.get_by_role("heading", level=2)).to_be_visible()
    await_no_text(page, "Loading.")
    page.wait_for_timeout(300)
    assert page.get_by_role("alert").all_inner_texts() == []


@pytest.mark.usefixtures("goods")
@pytest.mark.parametrize("scopes", SCOPED)
def test_no_view_asks_for_what_the_key_may_not_have(
    console: Service, context: BrowserContext, refused: list[str], scopes: str
) -> None:
    page = opened(context, console, SCOPED[scopes][1])
    for view in views(page):
        click(page, view)
        expect(page).to_have_title(f"{view} · Reco console")
        await_quiet(page)
    assert refused == []
    click(page, "Sign out")
    await_text(page, "API key")


@pytest.mark.usefixtures("goods")
def test_every_button_that_a_reader_sees_works(console: Service, context: BrowserContext, refused: list[str]) -> None:
    page = opened(context, console, VIEWER_TOKEN)
    buttons = page.get_by_role("main").get_by_role("button", disabled=False)
    for view in views(page):
        click(page, view)
        expect(page).to_have_title(f"{view} · Reco console")
        await_quiet(page)
        pressed: set[str] = set()
        while left := [name for name in names(buttons) if name not in pressed]:
            pressed.add(left[0])
            buttons.nth(names(buttons).index(left[0])).click()
            await_quiet(page)
    assert refused == []


def names(buttons: Locator) -> list[str]:
    found: list[str] = buttons.evaluate_all("all => all.map(one => one.ariaLabel || one.innerText)")
    return found
