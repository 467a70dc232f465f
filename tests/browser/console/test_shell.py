"""The console's shell: signing in and out, by keyboard too, and what the page allows itself."""

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.console.looking import (
    OPS_TOKEN,
    await_text,
    click,
    field,
    look,
    opened,
    text_of,
)
from tests.support.service import Service

pytestmark = pytest.mark.slow


def test_person_signs_in_and_out_and_the_script_cannot_read_the_session(
    console: Service, context: BrowserContext, axe: str
) -> None:
    page = opened(context, console, None)
    await_text(page, "API key")
    look(page, axe, "sign-in")
    field(page, "key").fill("ops.guess")
    page.keyboard.press("Enter")
    await_text(page, "The API key is not known.")
    look(page, axe, "sign-in-refused")
    field(page, "key").fill(OPS_TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("nav")).to_be_visible()
    assert page.evaluate("document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)") == "{}{}"
    click(page, "Ranking")
    await_text(page, "Version ")
    look(page, axe, "ranking")
    context.set_offline(True)
    click(page, "Sign out")
    await_text(page, "You are still signed in. The service does not answer.")
    context.set_offline(False)
    click(page, "Sign out")
    await_text(page, "API key")
    assert page.evaluate("fetch('model').then(answer => answer.status)") == 401
    assert "has ended" not in text_of(page)


def test_person_whose_session_ended_in_the_middle_is_told(console: Service, context: BrowserContext) -> None:
    page = opened(context, console, view="model")
    await_text(page, "Versions")
    context.clear_cookies()
    click(page, "Pin this version")
    await_text(page, "Your session has ended.")
    field(page, "key").fill(OPS_TOKEN)
    page.keyboard.press("Enter")
    await_text(page, "Versions")


def test_page_runs_no_script_that_is_not_its_own(console: Service, context: BrowserContext) -> None:
    page = opened(context, console)
    inline = (
        "const one = document.createElement('script'); one.textContent = 'window.evil = 1'; document.body.append(one)"
    )
    assert page.evaluate(f"{inline}; window.evil === undefined") is True


def test_answer_of_a_proxy_that_wants_a_sign_in_is_no_empty_page(console: Service, context: BrowserContext) -> None:
    page = context.new_page()
    page.route("**/console/session", lambda route: route.fulfill(content_type="text/html", body="<h1>Who are you?"))
    page.goto(f"{console.url}/console")
    await_text(page, "What answers is not the service")
    page.unroute("**/console/session")
    expect(page.get_by_label("API key")).to_be_visible()
