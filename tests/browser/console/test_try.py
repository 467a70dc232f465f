"""What a person tries: a user's history and list, an event by clicking, and a variant beside it."""

import json

import pytest

from tests.browser.console.looking import (
    VIEWER_TOKEN,
    await_text,
    choose,
    click,
    fill,
    focused,
    look,
    opened,
    press,
    shown,
    text_of,
)
from tests.support.chromium import Chromium, Tab
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow

ITEMS = ("tent", "stove", "lamp", "rope", "boots", "map")


@pytest.fixture
def shop(console: Service, operator: dict[str, str]) -> None:
    """A catalogue, and users who had the same things."""
    items = [{"item_id": name, "title": f"A {name}", "categories": ["camping"]} for name in ITEMS]
    assert console.client.post("/items", json={"items": items}, headers=operator).status_code == 200
    for user in range(12):
        for name in ITEMS[: 2 + user % 4]:
            event = {"user_id": f"user-{user}", "session_id": f"s{user}", "item_id": name, "event_type": "purchase"}
            assert console.client.post("/event", json=event, headers=operator).status_code == 202


@pytest.mark.usefixtures("shop")
def test_clicked_event_changes_the_list_and_each_place_says_why(console: Service, browser: Chromium, axe: str) -> None:
    tab = opened(browser, console, view="try")
    fill(tab, "input[name=user]", "user-0")
    press(tab, "Enter")
    await_text(tab, "What they get")
    await_text(tab, "A boots")
    eventually(lambda: shown(tab, "details"), describe=lambda: text_of(tab))
    tab.run("document.querySelector('details').open = true")
    choose(tab, "select[name=compared]", "bolder")
    await_text(tab, "By bolder")
    click(tab, "Buy A boots")
    await_text(tab, "The purchase of A boots is sent. The list changed")
    assert "A boots" in tab.run("document.querySelector('[aria-label^=History]').innerText")
    look(tab, axe, "try")


@pytest.mark.usefixtures("shop")
def test_two_rankings_of_the_latest_user_are_side_by_side(console: Service, browser: Chromium, axe: str) -> None:
    tab = opened(browser, console, view="try")
    await_text(tab, "What they get")  # nobody has typed
    choose(tab, "select[name=compared]", "bolder")
    await_text(tab, "By bolder")
    choose(tab, "select[name=ranking]", "model-1")
    await_text(tab, "By model-1")
    eventually(lambda: "What they get" not in headings(tab), describe=lambda: text_of(tab))
    assert headings(tab)[-2:] == ["By model-1", "By bolder"]
    look(tab, axe, "try-side-by-side")
    choose(tab, "select[name=compared]", "")
    eventually(lambda: headings(tab)[-1] == "By model-1", describe=lambda: text_of(tab))


def headings(tab: Tab) -> list[str]:
    found: list[str] = tab.run("[...document.querySelectorAll('h3')].map(one => one.innerText)")
    return found


@pytest.mark.usefixtures("shop")
def test_key_that_only_reads_sees_no_button_that_fails(console: Service, browser: Chromium) -> None:
    tab = opened(browser, console, VIEWER_TOKEN, "try")
    fill(tab, "input[name=user]", "user-0")
    press(tab, "Enter")
    await_text(tab, "A boots")
    assert tab.run("[...document.querySelectorAll('nav a')].map(link => link.innerText)") == [
        "Live",
        "Try",
        "Merchandise",
        "Measure",
        "Ranking",
    ]
    assert tab.run("[...document.querySelectorAll('main button')].map(button => button.innerText)") == ["Show"]
    assert not shown(tab, "[aria-label^=History], [role=alert], select")


@pytest.mark.usefixtures("shop")
def test_address_names_any_user(console: Service, browser: Chromium) -> None:
    tab = opened(browser, console, view="try/%")
    await_text(tab, "What they get")
    assert tab.run("document.querySelector('input[name=user]').value") == "%"
    assert not shown(tab, "[role=alert]")
    tab.run("location.hash = '#try/user-3%2Fhome'")
    eventually(lambda: tab.run("document.querySelector('input[name=user]').value") == "user-3/home")
    fill(tab, "input[name=user]", "user-4")
    press(tab, "Enter")
    eventually(lambda: tab.run("location.hash") == "#try/user-4")
    tab.run("document.body.dataset.before = 'yes'; location.reload()")
    eventually(lambda: shown(tab, "body:not([data-before]) input[name=user]"))
    eventually(lambda: tab.run("document.querySelector('input[name=user]').value") == "user-4")


def test_id_is_taken_as_it_is_typed(console: Service, browser: Chromium, operator: dict[str, str]) -> None:
    for user, item in ((" ann ", "of-spaces"), ("..", "of-dots")):
        event = {"user_id": user, "session_id": "s", "item_id": item, "event_type": "purchase"}
        assert console.client.post("/event", json=event, headers=operator).status_code == 202
    tab = opened(browser, console, view="try")

    def found() -> bool:
        fill(tab, "input[name=user]", " ann ")
        press(tab, "Enter")
        return "of-spaces" in str(tab.run("document.querySelector('[aria-label^=History]')?.innerText"))

    eventually(found, 30.0, describe=lambda: text_of(tab))
    fill(tab, "input[name=user]", "..")
    press(tab, "Enter")
    await_text(tab, "A browser cannot ask for the history of the user ..")
    await_text(tab, "What they get")
    assert not shown(tab, "[role=alert]")


@pytest.mark.usefixtures("shop")
def test_keyboard_stays_in_the_view_when_it_sends_an_event(console: Service, browser: Chromium) -> None:
    tab = opened(browser, console, view="try/user-1")
    await_text(tab, "What they get")
    first = tab.run("[...document.querySelectorAll('button')].find(one => one.ariaLabel?.startsWith('View')).ariaLabel")
    tab.run(f"document.querySelector({json.dumps(f'button[aria-label={json.dumps(first)}]')}).focus()")
    press(tab, "Enter")
    press(tab, "Enter")
    await_text(tab, "What you began is still under way.")
    await_text(tab, "is sent. The list")
    # What was viewed may have left the list.
    eventually(lambda: focused(tab).startswith("View ") or tab.run("document.activeElement.id") == "main")
