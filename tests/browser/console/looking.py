"""What a person does at the console, and what the accessibility checker finds."""

import os
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import BrowserContext, Locator, Page, expect

from app.core import keys
from tests.support.npm import npm_install
from tests.support.service import Service, eventually

OPS, OPS_TOKEN = keys.make("ops", ["admin"], "o" * 43)
VIEWER, VIEWER_TOKEN = keys.make("viewer", ["read"], "v" * 43)
# A key for browsers does not sign in.
_SCOPES: Final = [scope for scope in keys.SCOPES if scope != "browser"]
# By name: a key of each scope alone, and of each beside `read`.
SCOPED: Final = {
    "-".join(scopes): keys.make("-".join(scopes), list(scopes), "s" * 43)
    for scopes in [*((scope,) for scope in _SCOPES), *(("read", scope) for scope in _SCOPES if scope != "read")]
}
FOLDER: Final = Path(__file__).parent
WIDTHS: Final = {"desk": 1280, "phone": 360}
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Where screenshots are kept to be looked at; without it they are not taken.
SHOTS: Final = os.environ.get("RECO_SCREENSHOTS")


def axe_script(folder: Path) -> str:
    """The source of the checker, fetched by npm."""
    for name in ("package.json", "package-lock.json", ".npmrc"):
        (folder / name).write_bytes((FOLDER / name).read_bytes())
    npm_install(folder)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def opened(context: BrowserContext, service: Service, token: str | None = OPS_TOKEN, view: str = "") -> Page:
    """The console, signed in."""
    page = context.new_page()
    page.goto(f"{service.url}/console#{view}")
    if token is not None:
        page.get_by_label("API key").fill(token)
        click(page, "Sign in")
        expect(named(page, "Sign out")).to_be_visible()
    return page


def named(within: Page | Locator, name: str) -> Locator:
    """The button or link of this name."""
    button, link = (within.get_by_role(role, name=name, exact=True) for role in ("button", "link"))
    return button.or_(link)


def click(within: Page | Locator, name: str) -> None:
    named(within, name).click()


def field(within: Page | Locator, name: str) -> Locator:
    """The field that a form sends by this name."""
    return within.locator(f"[name='{name}']")


def await_text(page: Page, text: str, within_sec: float = 30.0) -> None:
    expect(page.locator("body")).to_contain_text(text, use_inner_text=True, timeout=1000 * within_sec)


def await_no_text(page: Page, text: str) -> None:
    expect(page.locator("body")).not_to_contain_text(text, use_inner_text=True)


def await_true(page: Page, expression: str) -> None:
    """Playwright's own `wait_for_function` evaluates again within the page, where the console's policy forbids it."""
    eventually(lambda: page.evaluate(expression), describe=lambda: text_of(page))


def text_of(page: Page) -> str:
    return page.locator("body").inner_text()


def views(page: Page) -> list[str]:
    return page.get_by_role("navigation").get_by_role("link").all_inner_texts()


def from_top(page: Page) -> None:
    """The next Tab is the first one on the page."""
    page.evaluate("document.body.tabIndex = -1; document.body.focus()")


def tab_to(page: Page, name: str, most: int = 40) -> int:
    """Presses Tab until the button or link of this name has the focus; returns how often."""
    for times in range(1, most):
        page.keyboard.press("Tab")
        if named(page, name).evaluate("found => found === document.activeElement"):
            return times
    raise AssertionError(f"Tab does not reach {name} in {text_of(page)}")


def look(page: Page, axe: str, name: str) -> None:
    """The view is accessible in light and dark, on a desk and on a phone, and no wider than the screen."""
    page.evaluate(axe)
    for device, width in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            if SHOTS:
                page.screenshot(path=Path(SHOTS, f"{name}-{device}-{scheme}.png"), full_page=True)
            assert violations(page) == [], (name, device, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than the {device}"
    page.set_viewport_size({"width": WIDTHS["desk"], "height": 800})
    page.emulate_media(color_scheme="null")


def violations(page: Page) -> list[Any]:
    found = page.evaluate("rules => axe.run({ runOnly: rules }).then(found => found.violations)", RULES)
    return [(one["id"], one["help"], [node["html"][:160] for node in one["nodes"]]) for one in found]
