"""What merchandisers do: search and edit the catalogue, and see what a rule changes before it does."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.console.looking import VIEWER_TOKEN, await_text, choose, click, fill, look, opened, shown, text_of
from tests.support.chromium import Chromium
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


def listed(console: Service, operator: dict[str, str]) -> list[str]:
    answer = console.client.get("/reco?user_id=nobody-met", headers=operator).json()
    return [item["item_id"] for item in answer["items"]]


def stored(console: Service, operator: dict[str, str], item: str = "kettle") -> dict[str, Any]:
    found: dict[str, Any] = console.client.get(f"/items/{item}", headers=operator).json()
    return found


def test_found_item_is_changed_and_the_change_is_undone(
    goods: Service, browser: Chromium, axe: str, operator: dict[str, str]
) -> None:
    tab = opened(browser, goods, view="merchandise")
    fill(tab, "input[name=title]", "ket")
    click(tab, "Search")
    eventually(lambda: "A torch" not in text_of(tab) and "A kettle" in text_of(tab), describe=lambda: text_of(tab))
    click(tab, "Open A kettle")
    await_text(tab, "Picture, an https URL")
    fill(tab, "[aria-label=Item] input[name=title]", "Kettle, blue")
    choose(tab, "textarea[name=categories]", "camping\nkitchen")
    choose(tab, "input[name='a.picture_url']", PICTURE)
    for name in ("price", "in stock", "sizes", "shop"):
        choose(tab, "[aria-label=Item] label:last-of-type select:not([name])", name)
    choose(tab, "input[name='a.price']", "19.5")
    choose(tab, "select[name='a.in stock']", "true")
    choose(tab, "textarea[name='a.sizes']", "S\nM")
    choose(tab, "input[name='a.shop']", "52.5, 13.4")
    click(tab, "Save")
    await_text(tab, "A kettle is changed.")
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
    eventually(lambda: tab.run(f"document.images[0]?.src === {json.dumps(PICTURE)}"))
    look(tab, axe, "merchandise-item")
    click(tab, "Undo")
    await_text(tab, "Undone.")
    assert (stored(goods, operator)["title"], stored(goods, operator)["attributes"]) == ("A kettle", {})


def test_item_changed_by_somebody_else_is_shown_anew_and_not_overwritten(
    goods: Service, browser: Chromium, operator: dict[str, str]
) -> None:
    tab = opened(browser, goods, view="merchandise")
    click(tab, "Open A torch")
    fill(tab, "[aria-label=Item] input[name=title]", "Mine")
    goods.client.patch("/items/torch", json={"title": "Theirs"}, headers=operator)
    click(tab, "Save")
    await_text(tab, "Somebody changed the item meanwhile.")
    eventually(lambda: tab.run("document.querySelector('[aria-label=Item] input[name=title]').value") == "Theirs")
    assert stored(goods, operator, "torch")["title"] == "Theirs"


def test_item_that_no_browser_can_ask_for_says_so(goods: Service, browser: Chromium, operator: dict[str, str]) -> None:
    dots = {"item_id": "..", "title": "Two dots", "categories": [" odd "]}
    assert goods.client.post("/items", json={"items": [dots]}, headers=operator).status_code == 200
    tab = opened(browser, goods, view="merchandise")
    fill(tab, "[role=search] input[name=category]", " odd ")
    click(tab, "Search")
    eventually(lambda: "A torch" not in text_of(tab) and "Two dots" in text_of(tab), describe=lambda: text_of(tab))
    click(tab, "Open Two dots")
    await_text(tab, "A browser cannot ask for the id ..")
    assert "Loading" not in text_of(tab)
    click(tab, "Close")
    eventually(lambda: "A browser cannot" not in text_of(tab), describe=lambda: text_of(tab))
    goods.client.post("/items:delete", json={"item_ids": [".."]}, headers=operator)


def test_change_of_the_title_leaves_the_spaces_of_names(
    goods: Service, browser: Chromium, operator: dict[str, str]
) -> None:
    names = {"title": " Rope", "categories": [" odd "], "tags": ["a ", " b"]}
    assert goods.client.patch("/items/rope", json=names, headers=operator).status_code == 200
    tab = opened(browser, goods, view="merchandise")
    click(tab, "Open  Rope")
    await_text(tab, "Picture, an https URL")
    fill(tab, "[aria-label=Item] input[name=title]", "Rope, blue")
    click(tab, "Save")
    await_text(tab, "is changed.")
    changed = stored(goods, operator, "rope")
    assert (changed["title"], changed["categories"], changed["tags"]) == ("Rope, blue", [" odd "], ["a ", " b"])


def test_undo_leaves_what_somebody_else_changed_since(
    goods: Service, browser: Chromium, operator: dict[str, str]
) -> None:
    tab = opened(browser, goods, view="merchandise")
    click(tab, "Open A torch")
    await_text(tab, "Picture, an https URL")
    fill(tab, "[aria-label=Item] input[name=title]", "Mine")
    click(tab, "Save")
    await_text(tab, "A torch is changed.")
    goods.client.patch("/items/torch", json={"title": "Theirs"}, headers=operator)
    click(tab, "Undo")
    await_text(tab, "Somebody changed it since, so that nothing is undone.")
    await_text(tab, "Theirs")  # in the list
    await_text(tab, "Somebody changed it since")
    assert stored(goods, operator, "torch")["title"] == "Theirs"


def test_removed_item_comes_back_with_undo(goods: Service, browser: Chromium, operator: dict[str, str]) -> None:
    before = stored(goods, operator, "stove")
    tab = opened(browser, goods, view="merchandise")
    click(tab, "Open A stove")
    click(tab, "Remove from the catalogue")
    await_text(tab, "A stove is removed from the catalogue.")
    assert goods.client.get("/items/stove", headers=operator).status_code == 404
    click(tab, "Undo")
    await_text(tab, "Undone.")
    assert {**stored(goods, operator, "stove"), "updated_at": ""} == {**before, "updated_at": ""}


def test_rule_is_previewed_then_changes_lists_and_is_undone(
    goods: Service, browser: Chromium, axe: str, operator: dict[str, str]
) -> None:
    last = NAMES[-1]
    tab = opened(browser, goods, view="merchandise")
    fill(tab, "[aria-label=Rule] input[name=item]", last)
    click(tab, "Preview")
    await_text(tab, "The rule touches one item")
    assert tab.run("document.querySelector('ol[aria-label=After] .what').innerText") == f"A {last}"
    assert goods.client.get("/rules", headers=operator).json()["rules"] == []
    click(tab, "Apply")
    await_text(tab, f"Pin {last} at 1. Every list follows")
    eventually(lambda: listed(goods, operator)[0] == last, describe=lambda: text_of(tab))
    look(tab, axe, "merchandise")
    click(tab, "Undo")
    await_text(tab, "Undone.")
    eventually(lambda: listed(goods, operator)[0] != last, describe=lambda: text_of(tab))


def test_boost_of_a_category_has_a_factor_and_a_time(
    goods: Service, browser: Chromium, operator: dict[str, str]
) -> None:
    tab = opened(browser, goods, view="merchandise")
    choose(tab, "select[name=what]", "bury")
    choose(tab, "select[name=target]", "category")
    fill(tab, "[aria-label=Rule] input[name=item]", "camping")
    choose(tab, "input[name=factor]", "0.25")
    choose(tab, "input[name=from]", "2036-01-01T00:00")
    choose(tab, "input[name=until]", "2036-02-01T00:00")
    click(tab, "Apply")
    await_text(tab, "Bury category camping × 0.25. Every list follows")
    (rule,) = goods.client.get("/rules", headers=operator).json()["rules"]
    assert (rule["category"], rule["factor"], rule["active"]) == ("camping", 0.25, False)
    assert (rule["starts_at"][:7], rule["ends_at"][:7]) <= ("2036-01", "2036-02")
    click(tab, f"Remove {rule['rule_id']}")
    await_text(tab, "is removed.")
    assert goods.client.get("/rules", headers=operator).json()["rules"] == []


@pytest.mark.usefixtures("goods")
def test_key_that_only_reads_previews_and_changes_nothing(console: Service, browser: Chromium) -> None:
    tab = opened(browser, console, VIEWER_TOKEN, "merchandise")
    click(tab, "Open A rope")
    await_text(tab, "Picture, an https URL")
    assert tab.run("document.querySelector('[aria-label=Item] fieldset').disabled")
    buttons = tab.run("[...document.querySelectorAll('main button')].map(button => button.innerText)")
    assert {*buttons} == {"Search", "Open", "Close", "Preview"}
    click(tab, "Preview")
    await_text(tab, "The rule touches one item")
    assert not shown(tab, "[role=alert]")
