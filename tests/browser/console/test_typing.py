"""What somebody types stays, and so does the focus, whatever answers come meanwhile."""

from typing import Any

import psycopg
import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.console.holding import held
from tests.browser.console.looking import await_no_text, await_text, click, field, named, opened
from tests.support.service import Service

pytestmark = pytest.mark.slow

NAMES = ("kettle", "torch")


@pytest.fixture(autouse=True)
def goods(console: Service, operator: dict[str, str]) -> None:
    items = [{"item_id": name, "title": f"A {name}", "categories": ["camping"]} for name in NAMES]
    assert console.client.post("/items", json={"items": items}, headers=operator).status_code == 200


def stored(console: Service, operator: dict[str, str], item: str) -> dict[str, Any]:
    found: dict[str, Any] = console.client.get(f"/items/{item}", headers=operator).json()
    return found


def test_what_is_typed_while_the_item_is_saved_stays(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    page = opened(context, console, view="merchandise")
    click(page, "Open A kettle")
    item = page.get_by_role("region", name="Item")
    field(item, "title").fill("Kettle, blue")
    with held(page, "**/items/kettle", "PATCH") as is_asked:
        click(item, "Save")
        is_asked()
        field(item, "tags").press_sequentially("ho")
    await_text(page, "A kettle is changed.")
    page.keyboard.type("t")
    expect(field(item, "tags")).to_have_value("hot")
    assert stored(console, operator, "kettle")["title"] == "Kettle, blue"
    click(item, "Save")
    await_text(page, "Kettle, blue is changed.")
    changed = stored(console, operator, "kettle")
    assert (changed["title"], changed["tags"]) == ("Kettle, blue", ["hot"])
    click(item, "Close")
    click(page, "Open Kettle, blue")
    expect(field(item, "tags")).to_have_value("hot")
    await_no_text(page, "here again")


def test_field_that_nobody_touched_is_not_changed(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    """East of Greenwich, the last second of the year 9999 is one of the next year, which a field cannot show."""
    ends = "9999-12-31T23:59:59Z"
    assert console.client.patch("/items/torch", json={"expires_at": ends}, headers=operator).is_success
    assert context.browser is not None
    page = opened(context.browser.new_context(timezone_id="Europe/Berlin"), console, view="merchandise")
    click(page, "Open A torch")
    item = page.get_by_role("region", name="Item")
    field(item, "title").fill("Torch, red")
    click(item, "Save")
    await_text(page, "A torch is changed.")
    changed = stored(console, operator, "torch")
    assert (changed["title"], changed["expires_at"]) == ("Torch, red", ends)


@pytest.mark.parametrize("poison", [1], indirect=True)
def test_late_answer_takes_the_focus_from_nobody_who_types(
    console: Service, context: BrowserContext, poison: int
) -> None:
    page = opened(context, console, view="merchandise")
    with held(page, "**/items/kettle") as is_asked:
        click(page, "Open A kettle")
        is_asked()
        field(page, "title").press_sequentially("tor")
    expect(page.get_by_role("heading", name="A kettle")).to_be_visible()
    page.keyboard.type("ch")
    expect(page.get_by_role("search").locator("[name=title]")).to_have_value("torch")
    click(page, "Act")
    await_text(page, f"{poison} found")
    with held(page, "**/dead-letters/*") as is_asked:
        page.locator("tbody").get_by_role("button").click()
        is_asked()
        field(page, "error").press_sequentially("expec")
    expect(page.get_by_role("heading", name="Number ")).to_be_visible()
    page.keyboard.type("ted")
    expect(field(page, "error")).to_have_value("expected")


def test_named_item_of_a_rule_stays_when_another_item_is_opened(console: Service, context: BrowserContext) -> None:
    page = opened(context, console, view="merchandise")
    click(page, "Open A torch")
    expect(field(page, "item")).to_have_value("torch")
    click(page, "Open A kettle")
    expect(field(page, "item")).to_have_value("kettle")
    field(page, "item").fill("tent")
    for name in ("Open A torch", "Close"):
        click(page, name)
        expect(field(page, "item")).to_have_value("tent")
    field(page, "what").select_option("boost")
    field(page, "target").select_option("category")
    field(page, "item").fill("")
    click(page, "Open A torch")
    expect(page.get_by_role("heading", name="A torch")).to_be_visible()
    expect(field(page, "item")).to_have_value("")


def test_form_of_an_experiment_stays_while_another_one_is_opened_or_sent(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    page = opened(context, console, view="measure")
    click(page, "Start an experiment")
    for name, value in (("name", "typed"), ("hypothesis", "More."), ("variant-0", "b")):
        field(page, name).fill(value)
    click(page, "How many users does it take?")
    field(page, "baseline").fill("7")
    expect(field(page, "hypothesis")).to_have_value("More.")
    click(page, "Start")
    await_text(page, "typed runs.")
    expect(field(page, "baseline")).to_have_value("7")
    click(page, "Change the shares of typed")
    with held(page, "**/experiments/typed/shares", "PUT") as is_asked:
        click(page, "Change the shares")
        is_asked()
        click(page, "End typed")
        field(page, "conclusion").fill("no difference")
    await_text(page, "typed has other shares")
    expect(field(page, "conclusion")).to_have_value("no difference")
    assert console.client.post("/experiments/typed/stop", json={}, headers=operator).is_success


def test_reason_stays_when_the_act_fails_or_the_version_is_pinned_first(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        database.execute(
            "INSERT INTO ranking_models (weights, origin, reason, figures) "
            "SELECT weights, 'imported', 'from a file', '{}' FROM ranking_models WHERE version = 1"
        )
    page = opened(context, console, view="model")
    click(page, "Promote version 2")
    field(page, "reason").fill("to try it")
    click(page, "Pin this version")
    await_text(page, "Version 1 is pinned.")
    expect(field(page, "reason")).to_have_value("to try it")
    confirm = page.get_by_role("group", name="Confirm")
    context.set_offline(True)
    click(confirm, "Promote version 2")
    await_text(page, "The service does not answer.")
    expect(field(page, "reason")).to_have_value("to try it")
    context.set_offline(False)
    click(confirm, "Promote version 2")
    await_text(page, "Version 2 serves, pinned.")
    expect(named(confirm, "Promote version 2")).to_have_count(0)
    assert console.client.post("/model/rollback", json={"reason": "tried"}, headers=operator).is_success
    assert console.client.post("/model/pin", json={"pinned": False}, headers=operator).is_success
