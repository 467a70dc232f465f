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
