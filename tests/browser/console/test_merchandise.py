"""What merchandisers do: search and edit the catalogue, and see what a rule changes before it does."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Dialog, Locator, Page, expect

from tests.browser.console.looking import VIEWER_TOKEN, await_no_text, await_text, click, field, look, opened, text_of
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow

PICTURE = "https://pictures.invalid/kettle.jpg"
NAMES = ("kettle", "torch", "rope", "stove")


@pytest.fixture
def goods(console: Service, operator: dict[str, str]) -> Iterator[Service]:
    """A service whose items somebody bought, with attributes of each kind."""
    client = console.client
    for name, kind in (("price", "number"), ("in stock", "flag"), ("sizes", "list"), ("shop", "place")):
        assert client.put(f"/attributes/{name}", json={"type": kind}, headers=operator).status_code in (200, 201)
    items = [{"item_id": name, "title": f"A {name}", "categories": ["camping"], "tags": ["new"]} for name in NAMES]
    assert client.post("/items", json={"items": items}, headers=operator).status_code == 200
    # The first is the most popular one.
    buyers = [(buyer, name) for number, name in enumerate(NAMES) for buyer in range(2 * (len(NAMES) - number))]
    for buyer, name in buyers:
        event = {"user_id": f"of-{name}-{buyer}", "session_id": "s", "item_id": name, "event_type": "purchase"}
        assert client.post("/event", json=event, headers=operator).status_code == 202
    eventually(lambda: {*NAMES} <= {*listed(console, operator)}, 30.0)
    yield console
    client.post("/items:delete", json={"item_ids": [*NAMES]}, headers=operator)


def item_of(page: Page) -> Locator:
    """The item that is open."""
    return page.get_by_role("region", name="Item")


def listed(console: Service, operator: dict[str, str]) -> list[str]:
    answer = console.client.get("/reco?user_id=nobody-met", headers=operator).json()
    return [item["item_id"] for item in answer["items"]]


def stored(console: Service, operator: dict[str, str], item: str = "kettle") -> dict[str, Any]:
    found: dict[str, Any] = console.client.get(f"/items/{item}", headers=operator).json()
    return found


def test_found_item_is_changed_and_the_change_is_undone(
    goods: Service, context: BrowserContext, axe: str, operator: dict[str, str]
) -> None:
    page = opened(context, goods, view="merchandise")
    field(page, "title").fill("ket")
    click(page, "Search")
    await_no_text(page, "A torch")
    click(page, "Open A kettle")
    item = item_of(page)
    field(item, "title").fill("Kettle, blue")
    field(page, "categories").fill("camping\nkitchen")
    field(page, "a.picture_url").fill(PICTURE)
    for name in ("price", "in stock", "sizes", "shop"):
        item.get_by_label("Another attribute").select_option(name)
    field(page, "a.price").fill("19.5")
    field(page, "a.in stock").select_option("true")
    field(page, "a.sizes").fill("S\nM")
    field(page, "a.shop").fill("52.5, 13.4")
    click(page, "Save")
    await_text(page, "A kettle is changed.")
    changed = stored(goods, operator)
    assert (changed["title"], changed["categories"], changed["tags"]) == (
        "Kettle, blue",
        ["camping", "kitchen"],
        ["new"],
    )
    assert changed["attributes"] == {
        "picture_url": PICTURE,
        "price": 19.5,
        "in stock": True,
        "sizes": ["S", "M"],
        "shop": {"lat": 52.5, "lon": 13.4},
    }
    expect(page.locator(".items img")).to_have_attribute("src", PICTURE)
    look(page, axe, "merchandise-item")
    click(page, "Undo")
    await_text(page, "Undone.")
    assert (stored(goods, operator)["title"], stored(goods, operator)["attributes"]) == ("A kettle", {})


def test_item_changed_by_somebody_else_is_shown_anew_with_what_was_typed_over_it(
    goods: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    page = opened(context, goods, view="merchandise")
    click(page, "Open A torch")
    title = field(item_of(page), "title")
    title.fill("Mine")
    theirs = {"title": "Theirs", "tags": ["old"]}
    goods.client.patch("/items/torch", json=theirs, headers=operator)
    click(page, "Save")
    await_text(page, "Somebody changed the item meanwhile.")
    expect(title).to_have_value("Mine")
    expect(field(item_of(page), "tags")).to_have_value("old")
    expect(page.get_by_role("heading", name="Theirs")).to_be_visible()
    assert stored(goods, operator, "torch")["title"] == "Theirs"
    click(page, "Save")
    await_text(page, "Theirs is changed.")
    assert {**stored(goods, operator, "torch"), **theirs, "title": "Mine"} == stored(goods, operator, "torch")


def test_what_was_typed_and_not_saved_is_there_again(
    goods: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    page = opened(context, goods, view="merchandise")
    click(page, "Open A stove")
    field(item_of(page), "title").fill("Stove, gas")
    item_of(page).get_by_label("Another attribute").select_option("price")
    field(page, "a.price").fill("40")
    click(page, "Open A torch")
    expect(field(item_of(page), "title")).to_have_value("A torch")
    click(page, "Try")
    click(page, "Merchandise")
    assert goods.client.patch("/items/stove", json={"tags": ["hot"]}, headers=operator).status_code == 200
    click(page, "Open A stove")
    await_text(page, "Somebody changed the item since; what you had typed stands over it.")
    expect(field(page, "tags")).to_have_value("hot")
    # A page that is closed asks first.
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.once("dialog", stay)
    page.close(run_before_unload=True)
    click(page, "Save")
    await_text(page, "A stove is changed.")
    assert asked == ["beforeunload"]
    changed = stored(goods, operator, "stove")
    assert (changed["title"], changed["tags"], changed["attributes"]) == ("Stove, gas", ["hot"], {"price": 40.0})
    assert "stands over it" not in text_of(page)
    # What is discarded does not come back.
    field(item_of(page), "title").fill("Mine")
    click(page, "Close")
    click(page, "Open Stove, gas")
    await_text(page, "What you had typed and not saved is here again.")
    expect(field(item_of(page), "title")).to_have_value("Mine")
    click(page, "Discard it")
    expect(field(item_of(page), "title")).to_have_value("Stove, gas")
    click(page, "Close")
    click(page, "Open Stove, gas")
    expect(field(item_of(page), "title")).to_have_value("Stove, gas")
    assert "here again" not in text_of(page)


def test_item_that_no_browser_can_ask_for_says_so(
    goods: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    dots = {"item_id": "..", "title": "Two dots", "categories": [" odd "]}
    assert goods.client.post("/items", json={"items": [dots]}, headers=operator).status_code == 200
    page = opened(context, goods, view="merchandise")
    field(page, "category").fill(" odd ")
    click(page, "Search")
    await_no_text(page, "A torch")
    click(page, "Open Two dots")
    await_text(page, "A browser cannot ask for the id ..")
    assert "Loading" not in text_of(page)
    click(page, "Close")
    await_no_text(page, "A browser cannot")
    goods.client.post("/items:delete", json={"item_ids": [".."]}, headers=operator)


def test_change_of_the_title_leaves_the_spaces_of_names(
    goods: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    names = {"title": " Rope", "categories": [" odd "], "tags": ["a ", " b"]}
    assert goods.client.patch("/items/rope", json=names, headers=operator).status_code == 200
    page = opened(context, goods, view="merchandise")
    click(page, "Open Rope")
    field(item_of(page), "title").fill("Rope, blue")
    click(page, "Save")
    await_text(page, "is changed.")
    changed = stored(goods, operator, "rope")
    assert (changed["title"], changed["categories"], changed["tags"]) == ("Rope, blue", [" odd "], ["a ", " b"])


def test_undo_leaves_what_somebody_else_changed_since(
    goods: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    page = opened(context, goods, view="merchandise")
    click(page, "Open A torch")
    field(item_of(page), "title").fill("Mine")
    click(page, "Save")
    await_text(page, "A torch is changed.")
    goods.client.patch("/items/torch", json={"title": "Theirs"}, headers=operator)
    click(page, "Undo")
    await_text(page, "Somebody changed it since, so that nothing is undone.")
    await_text(page, "Theirs")  # in the list
    await_text(page, "Somebody changed it since")
    assert stored(goods, operator, "torch")["title"] == "Theirs"


def test_removed_item_comes_back_with_undo(goods: Service, context: BrowserContext, operator: dict[str, str]) -> None:
    before = stored(goods, operator, "stove")
    page = opened(context, goods, view="merchandise")
    click(page, "Open A stove")
    click(page, "Remove from the catalogue")
    await_text(page, "A stove is removed from the catalogue.")
    assert goods.client.get("/items/stove", headers=operator).status_code == 404
    click(page, "Undo")
    await_text(page, "Undone.")
    assert {**stored(goods, operator, "stove"), "updated_at": ""} == {**before, "updated_at": ""}


def test_rule_is_previewed_then_changes_lists_and_is_undone(
    goods: Service, context: BrowserContext, axe: str, operator: dict[str, str]
) -> None:
    last = NAMES[-1]
    page = opened(context, goods, view="merchandise")
    field(page, "item").fill(last)
    click(page, "Preview")
    await_text(page, "The rule touches one item")
    expect(page.get_by_role("list", name="After").locator(".what").first).to_have_text(f"A {last}")
    assert goods.client.get("/rules", headers=operator).json()["rules"] == []
    click(page, "Apply")
    await_text(page, f"Pin {last} at 1. Every list follows")
    eventually(lambda: listed(goods, operator)[0] == last, describe=lambda: text_of(page))
    look(page, axe, "merchandise")
    click(page, "Undo")
    await_text(page, "Undone.")
    eventually(lambda: listed(goods, operator)[0] != last, describe=lambda: text_of(page))


def test_boost_of_a_category_has_a_factor_and_a_time(
    goods: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    page = opened(context, goods, view="merchandise")
    field(page, "what").select_option("bury")
    field(page, "target").select_option("category")
    field(page, "item").fill("camping")
    field(page, "factor").fill("0.25")
    field(page, "from").fill("2036-01-01T00:00")
    field(page, "until").fill("2036-02-01T00:00")
    click(page, "Apply")
    await_text(page, "Bury category camping × 0.25. Every list follows")
    (rule,) = goods.client.get("/rules", headers=operator).json()["rules"]
    assert (rule["category"], rule["factor"], rule["active"]) == ("camping", 0.25, False)
    assert (rule["starts_at"][:7], rule["ends_at"][:7]) <= ("2036-01", "2036-02")
    click(page, f"Remove {rule['rule_id']}")
    await_text(page, "is removed.")
    assert goods.client.get("/rules", headers=operator).json()["rules"] == []


@pytest.mark.usefixtures("goods")
def test_key_that_only_reads_previews_and_changes_nothing(console: Service, context: BrowserContext) -> None:
    page = opened(context, console, VIEWER_TOKEN, "merchandise")
    click(page, "Open A rope")
    expect(item_of(page).locator("fieldset")).to_have_js_property("disabled", True)
    buttons = page.get_by_role("main").get_by_role("button").all_inner_texts()
    assert {*buttons} == {"Search", "Open", "Close", "Preview"}
    click(page, "Preview")
    await_text(page, "The rule touches one item")
    assert page.get_by_role("alert").count() == 0
