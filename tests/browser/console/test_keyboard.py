"""What a person does who has no mouse: every view, and an act from its search to its end."""

import pytest

from tests.browser.console.looking import await_text, focused, from_top, opened, press, tab_to
from tests.support.chromium import Chromium
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


def test_keyboard_reaches_every_view(console: Service, browser: Chromium) -> None:
    tab = opened(browser, console)
    from_top(tab)
    assert tab_to(tab, "Skip to the content") == 1
    press(tab, "Enter")
    eventually(lambda: tab.run("document.activeElement.id") == "main")
    for label in tab.run("[...document.querySelectorAll('nav a')].map(link => link.innerText)"):
        from_top(tab)
        tab_to(tab, label)
        press(tab, "Enter")
        eventually(lambda label=label: tab.run("document.title").startswith(label))


def test_keyboard_opens_closes_and_discards_dead_letters(console: Service, browser: Chromium, poison: int) -> None:
    tab = opened(browser, console, view="act")
    await_text(tab, f"{poison:,} found")
    first = tab.run("document.querySelector('tbody button').getAttribute('aria-label')")
    tab_to(tab, first)
    press(tab, "Enter")
    eventually(lambda: focused(tab).startswith("Number "))
    tab_to(tab, "Close")
    press(tab, "Enter")
    eventually(lambda: focused(tab) == first, describe=lambda: focused(tab))
    from_top(tab)
    tab_to(tab, "Discard all found")
    press(tab, "Enter")
    eventually(lambda: tab.run("document.activeElement.name") == "reason")
    tab_to(tab, "Cancel")
    press(tab, "Enter")
    eventually(lambda: focused(tab) == "Discard all found", describe=lambda: focused(tab))
    press(tab, "Enter")
    eventually(lambda: tab.run("document.activeElement.name") == "reason")
    tab.call("Input.insertText", text="made by a test")
    press(tab, "Enter")
    await_text(tab, f"{poison:,} discarded.", 60.0)
    eventually(lambda: tab.run("document.activeElement.id") == "main")


def test_keyboard_stays_in_the_view_when_what_it_pressed_is_gone(
    console: Service, browser: Chromium, operator: dict[str, str]
) -> None:
    assert console.client.put("/items/tent", json={"title": "A tent"}, headers=operator).is_success
    boost = {"action": "boost", "item_id": "tent", "factor": 2}
    assert console.client.put("/rules/boosted", json=boost, headers=operator).is_success

    def is_in_view() -> bool:
        return bool(tab.run("document.activeElement.id") == "main")

    tab = opened(browser, console, view="merchandise")
    await_text(tab, "Boost tent")
    tab_to(tab, "Remove boosted")
    press(tab, "Enter")
    await_text(tab, "The rule boosted is removed.")
    eventually(is_in_view)
    tab_to(tab, "Undo")
    press(tab, "Enter")
    await_text(tab, "Undone.")
    eventually(is_in_view)
    tab_to(tab, "Open A tent")
    press(tab, "Enter")
    eventually(lambda: focused(tab) == "A tent")
    press(tab, "Tab")
    press(tab, "Tab")
    assert tab.run("document.activeElement.name") == "title"
    tab.call("Input.insertText", text="A blue tent")
    press(tab, "Enter")
    await_text(tab, "A tent is changed.")
    eventually(lambda: focused(tab) == "A blue tent", describe=lambda: focused(tab))
    from_top(tab)
    tab_to(tab, "Take the tour")
    press(tab, "Enter")
    tab_to(tab, "End the tour")
    press(tab, "Enter")
    await_text(tab, "Take the tour")
    eventually(is_in_view)
    assert console.client.delete("/rules/boosted", headers=operator).is_success
