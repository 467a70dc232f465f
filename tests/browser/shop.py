"""A shop whose pages use the client, and what its tests ask."""

import time
from typing import Any, Final

import jwt
import psycopg
from playwright.sync_api import BrowserContext, Page

from app.core import keys
from tests.support.service import ROOT, Service, eventually

KEY, TOKEN = keys.make("pages", ["browser"], "b" * 43)
SERVER_KEY, SERVER_TOKEN = keys.make("server", ["write", "read"], "s" * 43)
USER_SECRET: Final = "u" * 32
SOURCE: Final = ROOT / "clients" / "javascript"

PAGE: Final = """\
<!doctype html><meta charset="utf-8"><title>shop</title><link rel="icon" href="data:,">
<style>.item { height: 400px }</style><div id="items"></div>
<script src="reco.global.js"></script>
<script>
  const options = new URLSearchParams(location.search);
  const queue = { intervalMs: 50, backoffMs: 200, maxBackoffMs: 500, maxWaiting: 10_000,
    onLost: (body, why) => lost.push(why + body) };
  const lost = [], tokens = {};
  const reco = new Reco.Client({ url: URL_OF_SERVICE, key: KEY, keyInQuery: options.has("beacon"), queue,
    renewToken: async user => tokens[user] });
  const view = item_id => reco.send({ event_type: "view", item_id });
  const views = count => Array.from({ length: count }, (_, number) => view("item-" + number));
</script>
"""


def token_of(user_id: str, life_sec: float = 600.0) -> str:
    """What the shop's server signs."""
    now = time.time()
    return jwt.encode({"sub": user_id, "exp": now + life_sec}, USER_SECRET, "HS256")


def opened(context: BrowserContext, pages: str, environment: dict[str, str], query: str = "") -> Page:
    """The page of the shop that sends to the service of this environment."""
    page = context.new_page()
    page.goto(f"{pages}/{environment['HTTP_PORT']}.html?{query}")
    return page


def reloaded(page: Page, before: str = "null") -> Any:
    """The value of an expression that the page runs right before it is loaded again."""
    with page.expect_event("load"):
        return page.evaluate(f"const before = {before}; location.reload(); before")


def times_stored(environment: dict[str, str], ids: list[str]) -> list[int]:
    """How often each id is stored; the table has a primary key, so once at most, and counted as often."""
    with psycopg.connect(environment["DATABASE_URL"]) as database:
        stored, counted = (
            {row[0] for row in database.execute(f"SELECT event_id FROM {table} WHERE event_id = ANY(%s)", [ids])}
            for table in ("events", "feature_event_consumed")
        )
    return [(event_id in stored) + (event_id in counted) for event_id in ids]


def await_ledger(service: Service, ids: list[str], page: Page | None = None) -> None:
    """Each id that the page was given is stored and counted, and the page has nothing left and lost nothing."""
    assert len(set(ids)) == len(ids)
    eventually(lambda: set(times_stored(service.environment, ids)) == {2}, 60, service.describe)
    if page is not None:
        page.wait_for_function("reco.waiting === 0")
        assert page.evaluate("lost") == []
        left = "Object.keys(localStorage).filter(key => key.startsWith('reco.event.')).length"
        assert page.evaluate(left) == 0


def rows(service: Service, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(service.environment["DATABASE_URL"]) as database:
        return [payload for (payload,) in database.execute(query.encode()).fetchall()]
