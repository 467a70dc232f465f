"""A service with its keys for the tests of each module, which leave events and dead letters in it, and the checker."""

from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import BrowserContext, ViewportSize

from app.devstack import Stack
from tests.browser.console.looking import OPS, OPS_TOKEN, SCOPED, VIEWER, WIDTHS, axe_script
from tests.support.service import Service, running
from tests.support.shared_environment import shared_environment


@pytest.fixture(scope="package")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe_script(tmp_path_factory.mktemp("axe"))


@pytest.fixture(scope="module")
def console(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[Service]:
    environment = shared_environment(
        stack,
        template_database,
        redis_base_url,
        "console",
        API_KEYS=",".join(key.entry() for key in (OPS, VIEWER, *(key for key, _ in SCOPED.values()))),
        VARIANTS='[{"name": "bolder", "share": 0.1, "weights": {"popular_week": 2}}]',
    )
    with environment as settings, running(settings) as service:
        yield service


@pytest.fixture
def phone(context: BrowserContext) -> BrowserContext:
    """The browser of somebody on a phone."""
    assert context.browser is not None
    screen: ViewportSize = {"width": WIDTHS["phone"], "height": 800}
    return context.browser.new_context(viewport=screen, is_mobile=True, has_touch=True)


@pytest.fixture
def operator() -> dict[str, str]:
    """The headers of a program with the operator's key."""
    return {"x-api-key": OPS_TOKEN}


@pytest.fixture
def poison(console: Service, request: pytest.FixtureRequest) -> Iterator[int]:
    """How many dead letters there are, more than anybody scrolls through."""
    count = getattr(request, "param", 10_000)
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        database.execute(
            "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, message_key, value, "
            "header_names, header_values, event_id, error_kind, error, attempts) "
            "SELECT 'recsys.interactions.v1', 0, n, 1, 'ann', convert_to('{\"item_id\": ' || n || '}', 'UTF8'), "
            "ARRAY['traceparent'], ARRAY['00-1'::bytea], 'poison-' || n, 'data', "
            "CASE WHEN n % 2 = 0 THEN 'item_id: expected str' ELSE 'ts_ms: expected int' END, 3 "
            f"FROM generate_series(1, {count}) AS n"
        )
        yield count
        database.execute("DELETE FROM feature_consumer_dlq WHERE event_id LIKE 'poison-%'")
