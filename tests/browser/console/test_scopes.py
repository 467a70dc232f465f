"""What a key may not do is not offered: no view and no button asks for what is refused."""

import json

import pytest

from tests.browser.console.looking import (
    SCOPED,
    VIEWER_TOKEN,
    await_text,
    click,
    opened,
    refused,
    shown,
    text_of,
)
from tests.support.chromium import Chromium, Tab
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow

_BUTTONS = "[...document.querySelectorAll('main button:not([disabled])')]"


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


def views(tab: Tab) -> list[str]:
    found: list[str] = tab.run("[...document.querySelectorAll('nav a')].map(link => link.innerText)")
    return found


def quiet(tab: Tab) -> bool:
    """Nothing is on its way. The stream of samples has no end, so it is no entry."""
    return bool(tab.run("new Promise(done => setTimeout(() => done(document.querySelector('h2') !== null), 300))"))


@pytest.mark.usefixtures("goods")
@pytest.mark.parametrize("scopes", SCOPED)
def test_no_view_asks_for_what_the_key_may_not_have(console: Service, browser: Chromium, scopes: str) -> None:
    tab = opened(browser, console, None)
    tab.run("document.querySelector('input[name=key]').focus()")
    tab.call("Input.insertText", text=SCOPED[scopes][1])
    click(tab, "Sign in")
    eventually(lambda: "Sign out" in text_of(tab), describe=lambda: text_of(tab))
    for view in views(tab) if shown(tab, "nav") else []:
        click(tab, view)
        eventually(lambda view=view: tab.run("document.title").startswith(view))
        eventually(lambda: quiet(tab))
        assert not shown(tab, "[role=alert]"), text_of(tab)
    assert refused(tab) == []
    click(tab, "Sign out")
    await_text(tab, "API key")


@pytest.mark.usefixtures("goods")
def test_every_button_that_a_reader_sees_works(console: Service, browser: Chromium) -> None:
    tab = opened(browser, console, VIEWER_TOKEN)
    for view in views(tab):
        click(tab, view)
        eventually(lambda view=view: tab.run("document.title").startswith(view))
        eventually(lambda: quiet(tab))
        pressed: set[str] = set()
        while left := [name for name in names(tab) if name not in pressed]:
            pressed.add(left[0])
            tab.run(f"{_BUTTONS}.find(one => (one.ariaLabel || one.innerText) === {json.dumps(left[0])}).click()")
            eventually(lambda: quiet(tab))
            assert not shown(tab, "[role=alert]"), (left[0], text_of(tab))
    assert refused(tab) == []


def names(tab: Tab) -> list[str]:
    found: list[str] = tab.run(f"{_BUTTONS}.map(one => one.ariaLabel || one.innerText)")
    return found
