"""The first steps at an empty service: each turns green as it happens, the key after a restart, the event by a page."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core import keys
from app.devstack import Stack
from tests.browser.console.looking import OPS, OPS_TOKEN, await_text, click, fill, opened, press, text_of
from tests.support.chromium import Chromium
from tests.support.service import eventually, running
from tests.support.shared_environment import shared_environment

pytestmark = pytest.mark.slow

PAGES, PAGES_TOKEN = keys.make("pages", ["browser"], "b" * 43)


@pytest.fixture
def environment(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[dict[str, str]]:
    """Of a service that nobody has used and that asks for no keys."""
    with shared_environment(stack, template_database, redis_base_url, "first") as settings:
        yield settings


def test_steps_stay_and_turn_green_in_any_view_and_through_the_sign_in(
    environment: dict[str, str], browser: Chromium
) -> None:
    with running(environment) as service:
        tab = opened(browser, service, None)
        await_text(tab, "First steps")
        eventually(lambda: text_of(tab).count("still to do") == 3, describe=lambda: text_of(tab))
        click(tab, "Try")
        await_text(tab, "Nobody has done anything yet. Type the id of a user.")
        click(tab, "Merchandise")
        await_text(tab, "The catalogue is empty.")
        event = {"user_id": "ann", "session_id": "s1", "item_id": "tent", "event_type": "view"}
        assert service.client.post("/event", json=event).status_code == 202
        assert service.client.put("/items/tent", json={"title": "A tent"}).status_code == 201
        click(tab, "Live")
        eventually(lambda: text_of(tab).count("✓ done") == 2, describe=lambda: text_of(tab))
    with running({**environment, "API_KEYS": OPS.entry()}):
        await_text(tab, "Your session has ended.", 60.0)
        fill(tab, "input[name=key]", OPS_TOKEN)
        press(tab, "Enter")
        eventually(lambda: text_of(tab).count("✓ done") == 3, describe=lambda: text_of(tab))
        click(tab, "Close")
        eventually(lambda: "First steps" not in text_of(tab), describe=lambda: text_of(tab))
        click(tab, "Show the first steps")
        eventually(lambda: text_of(tab).count("✓ done") == 3, describe=lambda: text_of(tab))


def test_script_tag_of_the_steps_sends_the_first_event(
    environment: dict[str, str], browser: Chromium, pages: str, built: Path
) -> None:
    secured = {**environment, "API_KEYS": f"{OPS.entry()},{PAGES.entry()}", "CORS_ALLOW_ORIGINS": pages}
    with running(secured) as service:
        headers = {"x-api-key": OPS_TOKEN}
        assert service.client.put("/items/tent", json={"title": "A tent"}, headers=headers).status_code == 201
        tab = opened(browser, service, view="live")
        await_text(tab, "Reco.Client")
        steps = "[...document.querySelectorAll('.steps pre')]"
        tag = tab.run(f"{steps}.find(one => one.innerText.includes('Reco.Client')).innerText")
        connect = tab.run("[...document.querySelectorAll('.steps code')].map(one => one.innerText).at(-1)")
        assert connect == f"connect-src {service.url}"
        policy = f"default-src 'none'; script-src 'self' 'nonce-n'; {connect}"
        page = f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{policy}">' + tag.replace(
            "<script>", '<script nonce="n">'
        ).replace('"KEY"', f'"{PAGES_TOKEN}"')
        (built / "dist" / "first.html").write_text(page)
        browser.open(f"{pages}/first.html")
        eventually(lambda: text_of(tab).count("✓ done") == 3, 30.0, describe=lambda: text_of(tab))
