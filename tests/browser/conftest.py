"""The client of `clients/javascript`, built by npm; a shop whose pages use it; and a browser."""

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import BrowserContext, expect, sync_playwright

from app.devstack import Stack
from app.devstack.ports import choose
from tests.browser.shop import KEY, PAGE, SERVER_KEY, SOURCE, TOKEN, USER_SECRET
from tests.support.npm import npm, npm_install
from tests.support.service import Service, running
from tests.support.shared_environment import shared_environment

CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Pages may be slow on a busy machine.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="package")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the client with its `dist`."""
    folder = tmp_path_factory.mktemp("javascript") / "client"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("node_modules", "dist", "build"))
    npm_install(folder)
    npm(folder, "run", "build")
    return folder


@pytest.fixture(scope="package")
def pages(built: Path) -> Iterator[str]:
    """The origin of the shop's pages."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing on the screen."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(built / "dist"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def environment_of_shop(
    stack: Stack, template_database: str, redis_base_url: str, pages: str, built: Path
) -> Iterator[dict[str, str]]:
    """Settings of a service on a port of its own, to which a page of its own sends."""
    port = choose()
    script = PAGE.replace("URL_OF_SERVICE", json.dumps(f"http://127.0.0.1:{port}")).replace("KEY", json.dumps(TOKEN))
    (built / "dist" / f"{port}.html").write_text(script)
    environment = shared_environment(
        stack,
        template_database,
        redis_base_url,
        "javascript",
        HTTP_PORT=str(port),
        API_KEYS=f"{KEY.entry()},{SERVER_KEY.entry()}",
        USER_TOKEN_SECRETS=USER_SECRET,
        # Pages of these tests send thousands of events, of items that nobody put into the catalogue.
        BROWSER_CATALOGUE_ONLY="false",
        BROWSER_REQUESTS_PER_MINUTE="0",
        API_KEYS_IN_QUERY="true",
        CORS_ALLOW_ORIGINS=pages,
    )
    with environment as settings:
        yield settings


@pytest.fixture(scope="module")
def service(environment_of_shop: dict[str, str]) -> Iterator[Service]:
    with running(environment_of_shop) as service:
        yield service


@pytest.fixture
def context() -> Iterator[BrowserContext]:
    """A Chromium of the test's own, which reaches this machine alone; an error of a script fails the test."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: apt install chromium)")
    errors: list[str] = []
    # Playwright's event loop runs until here is left, and no other one can meanwhile: so it is not shared by tests.
    with sync_playwright() as playwright:
        here_alone = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=[here_alone])
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        context.on("weberror", lambda thrown: errors.append(str(thrown.error)))
        yield context
    assert errors == []
