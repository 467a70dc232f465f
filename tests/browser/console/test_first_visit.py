"""The first steps at an empty service: each turns green as it happens, the key after a restart, the event by a page."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from app.core import keys
from app.devstack import Stack
from tests.browser.console.looking import OPS, OPS_TOKEN, await_text, click, field, opened
from tests.support.service import running
from tests.support.shared_environment import shared_environment

pytestmark = pytest.mark.slow

PAGES, PAGES_TOKEN = keys.make("pages", ["browser"], "b" * 43)


@pytest.fixture
def environment(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[dict[str, str]]:
    """Of a service that nobody has used and that asks for no keys."""
    with shared_environment(stack, template_database, redis_base_url, "first") as settings:
        yield settings


def test_steps_stay_and_turn_green_in_any_view_and_through_the_sign_in(
    environment: dict[str, str], context: BrowserContext
) -> None:
    with running(environment) as service:
        page = opened(context, service, None)
        await_text(page, "First steps")
        expect(page.get_by_text("still to do")).to_have_count(3)
        click(page, "Try")
        await_text(page, "Nobody has done anything yet. Type the id of a user.")
        click(page, "Merchandise")
        await_text(page, "The catalogue is empty.")
        event = {"user_id": "ann", "session_id": "s1", "item_id": "tent", "event_type": "view"}
        assert service.client.post("/event", json=event).status_code == 202
        assert service.client.put("/items/tent", json={"title": "A tent"}).status_code == 201
        click(page, "Live")
        expect(page.get_by_text("✓ done")).to_have_count(2)
    with running({**environment, "API_KEYS": OPS.entry()}):
        await_text(page, "Your session has ended.", 60.0)
        field(page, "key").fill(OPS_TOKEN)
        page.keyboard.press("Enter")
        expect(page.get_by_text("✓ done")).to_have_count(3)
        click(page, "Close")
        expect(page.get_by_role("heading", name="First steps")).to_be_hidden()
        click(page, "Show the first steps")
        expect(page.get_by_text("✓ done")).to_have_count(3)


def test_script_tag_of_the_steps_sends_the_first_event(
    environment: dict[str, str], context: BrowserContext, pages: str, built: Path
) -> None:
    secured = {**environment, "API_KEYS": f"{OPS.entry()},{PAGES.entry()}", "CORS_ALLOW_ORIGINS": pages}
    with running(secured) as service:
        headers = {"x-api-key": OPS_TOKEN}
        assert service.client.put("/items/tent", json={"title": "A tent"}, headers=headers).status_code == 201
        page = opened(context, service, view="live")
        tag = page.locator("pre", has_text="Reco.Client").inner_text()
        connect = page.get_by_role("listitem").locator("code").last.inner_text()
        assert connect == f"connect-src {service.url}"
        policy = f"default-src 'none'; script-src 'self' 'nonce-n'; {connect}"
        html = f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{policy}">' + tag.replace(
            "<script>", '<script nonce="n">'
        ).replace('"KEY"', f'"{PAGES_TOKEN}"')
        (built / "dist" / "first.html").write_text(html)
        context.new_page().goto(f"{pages}/first.html")
        expect(page.get_by_text("✓ done")).to_have_count(3)
