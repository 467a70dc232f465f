"""What a person does at the console, and what the accessibility checker finds."""

import base64
import json
import os
from pathlib import Path
from typing import Any, Final

from app.core import keys
from tests.browser.shop import npm
from tests.support.chromium import Chromium, PageError, Tab
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
PHONE: Final = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
DESK: Final = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Where screenshots are kept to be looked at; without it they are not taken.
SHOTS: Final = os.environ.get("RECO_SCREENSHOTS")


def axe_script(folder: Path) -> str:
    """The source of the checker, fetched by npm."""
    for name in ("package.json", "package-lock.json", ".npmrc"):
        (folder / name).write_bytes((FOLDER / name).read_bytes())
    npm(folder, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--fetch-retries=0")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def opened(browser: Chromium, service: Service, token: str | None = OPS_TOKEN, view: str = "") -> Tab:
    """The console, signed in."""
    tab = browser.open(f"{service.url}/console#{view}")
    tab.call("Emulation.setDeviceMetricsOverride", **DESK)
    await_text(tab, "Sign in" if token else "Reco")
    if token is not None:
        fill(tab, "input[name=key]", token)
        click(tab, "Sign in")
        eventually(lambda: shown(tab, "nav"), describe=lambda: text_of(tab))
    return tab


def shown(tab: Tab, selector: str) -> bool:
    try:
        return bool(tab.run(f"document.querySelector({json.dumps(selector)}) !== null"))
    except PageError:
        return False  # between two pages


def text_of(tab: Tab) -> str:
    try:
        return str(tab.run("document.body ? document.body.innerText : ''"))
    except PageError:
        return ""


def await_text(tab: Tab, text: str, within_sec: float = 20.0) -> None:
    eventually(lambda: text in text_of(tab), within_sec, lambda: text_of(tab))


def fill(tab: Tab, selector: str, text: str) -> None:
    """Types into a field, as a person does."""
    eventually(lambda: shown(tab, selector), describe=lambda: text_of(tab))
    tab.run(f"document.querySelector({json.dumps(selector)}).select()")
    tab.call("Input.insertText", text=text)


def click(tab: Tab, label: str) -> None:
    """Presses the button or link with this name, which then has the focus."""
    script = (
        f"[...document.querySelectorAll('button, a')].find(found => (found.getAttribute('aria-label') || "
        f"found.innerText).trim().startsWith({json.dumps(label)}) && !found.disabled && found.ariaDisabled !== 'true')"
    )
    eventually(lambda: tab.run(f"{script} !== undefined"), describe=lambda: f"no {label} in {text_of(tab)}")
    tab.run(f"{{ const found = {script}; found.focus(); found.click() }}")


def choose(tab: Tab, selector: str, value: str) -> None:
    """Chooses an option, or enters a whole value, also in fields that are not texts."""
    eventually(lambda: shown(tab, selector), describe=lambda: text_of(tab))
    tab.run(
        f"{{ const field = document.querySelector({json.dumps(selector)}); field.value = {json.dumps(value)};"
        "field.dispatchEvent(new Event('change', { bubbles: true })) }"
    )


def focused(tab: Tab) -> str:
    """The name of what has the focus."""
    script = "document.activeElement.getAttribute('aria-label') || document.activeElement.innerText || ''"
    return str(tab.run(script)).strip()


def tab_to(tab: Tab, label: str, most: int = 40) -> int:
    """Presses Tab until what has this name has the focus; returns how often."""
    for times in range(1, most):
        press(tab, "Tab")
        if focused(tab) == label:
            return times
    raise AssertionError(f"Tab does not reach {label} in {text_of(tab)}")


def from_top(tab: Tab) -> None:
    """The next Tab is the first one on the page."""
    tab.run("document.body.tabIndex = -1; document.body.focus()")


def refused(tab: Tab) -> list[Any]:
    """What the page asked for and did not get."""
    script = (
        "performance.getEntriesByType('resource').filter(one => one.responseStatus >= 400)"
        ".map(one => [one.name, one.responseStatus])"
    )
    found: list[Any] = tab.run(script)
    return found


def press(tab: Tab, key: str) -> None:
    code = {"Tab": 9, "Enter": 13}[key]
    for kind in ("keyDown", "keyUp"):
        text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
        tab.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)


def look(tab: Tab, axe: str, name: str) -> None:
    """The view is accessible in light and dark, on a desk and on a phone, and no wider than the screen."""
    tab.run(axe + "; 0")
    for device, metrics in (("desk", DESK), ("phone", PHONE)):
        tab.call("Emulation.setDeviceMetricsOverride", **metrics)
        for scheme in ("light", "dark"):
            tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            keep_screenshot(tab, f"{name}-{device}-{scheme}")
            assert violations(tab) == [], (name, device, scheme)
        assert tab.run("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the {device}"
    tab.call("Emulation.setDeviceMetricsOverride", **DESK)
    tab.call("Emulation.setEmulatedMedia", features=[])


def violations(tab: Tab) -> list[Any]:
    found = tab.run(f"axe.run(document, {{ runOnly: {json.dumps(RULES)} }}).then(found => found.violations)")
    return [(one["id"], one["help"], [node["html"][:160] for node in one["nodes"]]) for one in found]


def keep_screenshot(tab: Tab, name: str) -> None:
    if SHOTS:
        shot = tab.call("Page.captureScreenshot", captureBeyondViewport=True)
        Path(SHOTS, f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
