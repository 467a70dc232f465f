"""A shop whose pages use the client, and what its tests ask."""

import re
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import jwt
import psycopg
import pytest

from app.core import keys
from tests.support.chromium import Chromium, PageError, Tab
from tests.support.service import ROOT, Service, eventually

KEY, TOKEN = keys.make("pages", ["browser"], "b" * 43)
SERVER_KEY, SERVER_TOKEN = keys.make("server", ["write", "read"], "s" * 43)
USER_SECRET: Final = "u" * 32
SOURCE: Final = ROOT / "clients" / "javascript"
# What npm says when it cannot reach its registry.
UNREACHABLE: Final = re.compile("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED")

PAGE: Final = """\
<!doctype html><meta charset="utf-8"><title>shop</title><link rel="icon" href="data:,">
<style>.item { height: 400px }</style><div id="items"></div>
<script src="reco.global.js"></script>
<script>
  const options = new URLSearchParams(location.search);
  if (options.has("ahead")) { const now = Date.now; Date.now = () => now() + 3_600_000; }
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


def npm(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(["npm", *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    said = ended.stdout + ended.stderr
    if ended.returncode and UNREACHABLE.search(said):
        pytest.skip(f"npm cannot fetch what builds the client: {said.strip().splitlines()[0]}")
    assert ended.returncode == 0, said
    return said


def opened(browser: Chromium, pages: str, environment: dict[str, str], query: str = "") -> Tab:
    """The page of the shop that sends to the service of this environment."""
    tab = browser.open(f"{pages}/{environment['HTTP_PORT']}.html?{query}")
    await_page(tab)
    return tab


def reloaded(tab: Tab, before: str = "null") -> Any:
    """The value of an expression that the page runs right before it is loaded again."""
    # The page that is left answers for a while, and must not be taken for its successor.
    value = tab.run(f"const before = {before}; window.isLeft = true; location.reload(); before")
    await_page(tab)
    return value


def await_page(tab: Tab) -> None:

    def is_there() -> bool:
        try:
            return bool(tab.run("!window.isLeft && typeof views === 'function' && document.readyState === 'complete'"))
        except PageError:
            return False  # between two pages

    eventually(is_there)


def times_stored(environment: dict[str, str], ids: list[str]) -> list[int]:
    """How often each id is stored; the table has a primary key, so once at most, and counted as often."""
    with psycopg.connect(environment["DATABASE_URL"]) as database:
        stored, counted = (
            {row[0] for row in database.execute(f"SELECT event_id FROM {table} WHERE event_id = ANY(%s)", [ids])}
            for table in ("events", "feature_event_consumed")
        )
    return [(event_id in stored) + (event_id in counted) for event_id in ids]


def await_ledger(service: Service, ids: list[str], tab: Tab | None = None) -> None:
    """Each id that the page was given is stored and counted, and the page has nothing left and lost nothing."""
    assert len(set(ids)) == len(ids)
    eventually(lambda: set(times_stored(service.environment, ids)) == {2}, 60, service.describe)
    if tab is not None:
        eventually(lambda: tab.run("reco.waiting") == 0, 30.0)
        assert tab.run("lost") == []
        left = "Object.keys(localStorage).filter(key => key.startsWith('reco.event.')).length"
        assert tab.run(left) == 0


def rows(service: Service, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(service.environment["DATABASE_URL"]) as database:
        return [payload for (payload,) in database.execute(query.encode()).fetchall()]
