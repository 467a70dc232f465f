"""The console's shell: signing in and out, by keyboard too, and what the page allows itself."""

import pytest

from tests.browser.console.looking import (
    OPS_TOKEN,
    await_text,
    click,
    fill,
    look,
    opened,
    press,
    shown,
    text_of,
)
from tests.support.chromium import Chromium
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


def test_person_signs_in_and_out_and_the_script_cannot_read_the_session(
    console: Service, browser: Chromium, axe: str
) -> None:
    tab = browser.open(f"{console.url}/console")
    await_text(tab, "API key")
    look(tab, axe, "sign-in")
    fill(tab, "input[name=key]", "ops.guess")
    press(tab, "Enter")
    await_text(tab, "The API key is not known.")
    look(tab, axe, "sign-in-refused")
    fill(tab, "input[name=key]", OPS_TOKEN)
    press(tab, "Enter")
    eventually(lambda: shown(tab, "nav"), describe=lambda: text_of(tab))
    assert tab.run("document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)") == "{}{}"
    click(tab, "Ranking")
    await_text(tab, "Version ")
    look(tab, axe, "ranking")
    tab.set_offline(offline=True)
    click(tab, "Sign out")
    await_text(tab, "You are still signed in. The service does not answer.")
    tab.set_offline(offline=False)
    click(tab, "Sign out")
    await_text(tab, "API key")
    assert tab.run("fetch('model').then(answer => answer.status)") == 401
    assert "has ended" not in text_of(tab)


def test_person_whose_session_ended_in_the_middle_is_told(console: Service, browser: Chromium) -> None:
    tab = opened(browser, console, view="model")
    await_text(tab, "Versions")
    tab.call("Network.clearBrowserCookies")
    click(tab, "Pin this version")
    await_text(tab, "Your session has ended.")
    fill(tab, "input[name=key]", OPS_TOKEN)
    press(tab, "Enter")
    await_text(tab, "Versions")


def test_page_runs_no_script_that_is_not_its_own(console: Service, browser: Chromium) -> None:
    tab = opened(browser, console)
    inline = (
        "const one = document.createElement('script'); one.textContent = 'window.evil = 1'; document.body.append(one)"
    )
    assert tab.run(f"{inline}; window.evil === undefined") is True
