"""Two people at the console: an act is for what its operator saw, and ends with their session."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from playwright.sync_api import APIResponse, BrowserContext, Error, Page, Route, expect

from tests.browser.console.holding import settle
from tests.browser.console.looking import OPS_TOKEN, SCOPED, await_text, click, field, named, opened, text_of
from tests.support.service import Service

pytestmark = pytest.mark.slow

COLLEAGUE, COLLEAGUES_TOKEN = "read-operate", SCOPED["read-operate"][1]
MANY, A_CALL = 1_200, 500


@pytest.fixture
def versions(console: Service, operator: dict[str, str]) -> tuple[int, int]:
    """Two versions that served one after the other; the second one serves."""
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        made = database.execute(
            "INSERT INTO ranking_models (weights, origin, reason, figures) SELECT weights, 'imported', 'a file', '{}' "
            "FROM ranking_models, generate_series(1, 2) WHERE version = 1 RETURNING version"
        ).fetchall()
    (one,), (other,) = sorted(made)
    for version in (one, other):
        asked = {"version": version, "reason": "to try it", "pin": True}
        assert console.client.post("/model/promote", json=asked, headers=operator).status_code == 200
    return one, other


def second_tab(page: Page, view: str) -> Page:
    tab = page.context.new_page()
    tab.goto(page.url.partition("#")[0] + f"#{view}")
    return tab


def test_two_who_confirm_the_same_rollback_go_back_one_version(
    console: Service, context: BrowserContext, operator: dict[str, str], versions: tuple[int, int]
) -> None:
    before, serves = versions
    page = opened(context, console, view="model")
    other = second_tab(page, "model")
    for one in (page, other):
        click(one, "Roll back")
        field(one, "reason").fill("lists are odd")
        await_text(one, f"Version {serves} gives way")
    confirm = page.get_by_role("group", name="Confirm")
    click(confirm, "Roll back")
    await_text(page, f"Version {before} serves in place of {serves}, pinned.")
    click(other.get_by_role("group", name="Confirm"), "Roll back")
    await_text(other, "Another version serves by now than the one that you saw, so that nothing was changed.")
    await_text(other, f"Version {before}, pinned")
    expect(other.get_by_role("group", name="Confirm")).to_have_count(0)
    assert console.client.get("/model", headers=operator).json()["version"] == before


def test_version_that_nobody_saw_is_neither_pinned_nor_replaced(
    console: Service, context: BrowserContext, operator: dict[str, str], versions: tuple[int, int]
) -> None:
    before, serves = versions
    page = opened(context, console, view="model")
    click(page, f"Promote version {before}")
    field(page, "reason").fill("it was better")
    assert console.client.post("/model/promote", json={"version": 1}, headers=operator).is_success
    assert console.client.post("/model/pin", json={"pinned": False}, headers=operator).is_success
    confirm = page.get_by_role("group", name="Confirm")
    click(confirm, f"Promote version {before}")
    await_text(page, "Another version serves by now")
    await_text(page, "Pin this version")
    assert console.client.post("/model/promote", json={"version": serves}, headers=operator).is_success
    click(page, "Pin this version")
    await_text(page, f"Version {serves}")
    await_text(page, "Another version serves by now")
    found = console.client.get("/model", headers=operator).json()
    assert (found["version"], found["pinned"]) == (serves, False)


@contextmanager
def answered_late(page: Page) -> Iterator[None]:
    """The first call of an act on many rows is done, and its answer arrives when the block ends."""
    late: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        if late:
            route.fallback()
        else:
            late.append((route, route.fetch()))

    page.route("**/dead-letters/discard", hold)
    click(page, "Discard all found")
    field(page, "reason").fill("made by a test")
    click(page, f"Discard {MANY:,}")
    await_text(page, "Why: made by a test")
    for _ in range(1_000):
        if late:
            break
        page.wait_for_timeout(20)
    yield
    # A page that was loaded anew waits for no answer.
    with suppress(Error):
        late[0][0].fulfill(response=late[0][1])
    settle(page)


def discarded_by(console: Service) -> dict[str, int]:
    """How many, and who did it; and nothing more is under way."""
    with psycopg.connect(console.environment["DATABASE_URL"]) as database:
        found = database.execute(
            "SELECT resolved_by, count(*) FROM feature_consumer_dlq WHERE status = 'discarded' GROUP BY resolved_by"
        ).fetchall()
    return dict(found)


def sign_in(page: Page, token: str) -> None:
    field(page, "key").fill(token)
    page.keyboard.press("Enter")
    expect(named(page, "Sign out")).to_be_visible()


@pytest.mark.parametrize("poison", [MANY], indirect=True)
def test_act_on_many_rows_is_not_continued_by_who_signs_in_next(
    console: Service, context: BrowserContext, poison: int
) -> None:
    page = opened(context, console, view="act")
    await_text(page, f"{poison:,} found")
    with answered_late(page):
        click(page, "Sign out")
        sign_in(page, COLLEAGUES_TOKEN)
    await_text(page, f"{poison - A_CALL:,} found")
    assert COLLEAGUE in text_of(page)
    assert "made by a test" not in text_of(page)
    assert discarded_by(console) == {"ops": A_CALL}


@pytest.mark.parametrize("poison", [MANY], indirect=True)
def test_act_on_many_rows_ends_with_a_sign_out(console: Service, context: BrowserContext, poison: int) -> None:
    page = opened(context, console, view="act")
    await_text(page, f"{poison:,} found")
    with answered_late(page):
        click(page, "Sign out")
        sign_in(page, OPS_TOKEN)
    await_text(page, f"{A_CALL} were done before that.")
    await_text(page, "You signed out, and the rest was left.")
    await_text(page, f"{poison - A_CALL:,} found")
    assert discarded_by(console) == {"ops": A_CALL}


@pytest.mark.parametrize("poison", [MANY], indirect=True)
def test_page_does_nothing_with_the_key_that_signed_in_in_another_tab(
    console: Service, context: BrowserContext, poison: int
) -> None:
    page = opened(context, console, view="act")
    await_text(page, f"{poison:,} found")
    with answered_late(page):
        other = second_tab(page, "live")
        click(other, "Sign out")
        sign_in(other, COLLEAGUES_TOKEN)
    await_text(page, "Somebody has signed in with another key in this browser.")
    assert discarded_by(console) == {"ops": A_CALL}
    page.reload()
    await_text(page, f"{poison - A_CALL:,} found")
    assert COLLEAGUE in text_of(page)
