"""Items and rules as they should not be, and are: attributes of odd names and types, and changes by others."""

from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.console.looking import await_no_text, await_text, click, field, opened
from tests.support.service import Service

pytestmark = pytest.mark.slow


def stored(console: Service, operator: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = console.client.get("/items/kettle", headers=operator).json()
    return found


def declare(console: Service, operator: dict[str, str], **kinds: str) -> None:
    for name, kind in kinds.items():
        assert console.client.put(f"/attributes/{name}", json={"type": kind}, headers=operator).is_success


def test_attribute_of_pictures_that_is_no_text_is_a_field_like_others(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    declare(console, operator, picture_url="list")
    kettle = {"title": "A kettle", "attributes": {"picture_url": ["/a.jpg"]}}
    assert console.client.put("/items/kettle", json=kettle, headers=operator).is_success
    page = opened(context, console, view="merchandise")
    click(page, "Open A kettle")
    item = page.get_by_role("region", name="Item")
    item.get_by_label("picture_url, a list").fill("/a.jpg\n/b.jpg")
    click(item, "Save")
    await_text(page, "A kettle is changed.")
    assert stored(console, operator)["attributes"] == {"picture_url": ["/a.jpg", "/b.jpg"]}
    expect(page.locator("img")).to_have_count(0)
    assert console.client.delete("/items/kettle", headers=operator).is_success
    assert console.client.delete("/attributes/picture_url", headers=operator).is_success


@pytest.mark.parametrize("name", ["constructor", "__proto__"])
def test_attribute_may_have_a_name_that_every_object_has(
    console: Service, context: BrowserContext, operator: dict[str, str], name: str
) -> None:
    assert console.client.put("/items/kettle", json={"title": "A kettle"}, headers=operator).is_success
    declare(console, operator, **{name: "number"})
    page = opened(context, console, view="merchandise")
    click(page, "Open A kettle")
    item = page.get_by_role("region", name="Item")
    item.get_by_label("Another attribute").select_option(name)
    field(item, f"a.{name}").fill("5")
    click(item, "Save")
    await_text(page, "A kettle is changed.")
    assert stored(console, operator)["attributes"] == {name: 5.0}
    click(page, "Undo")
    await_text(page, "Undone.")
    assert stored(console, operator)["attributes"] == {}
    kettle = {"title": "A kettle", "attributes": {name: 7}}
    assert console.client.put("/items/kettle", json=kettle, headers=operator).is_success
    assert console.client.delete(f"/attributes/{name}", headers=operator).is_success
    click(item, "Close")
    click(page, "Open A kettle")
    await_text(page, f"{name} is no longer declared: 7")
    assert console.client.delete("/items/kettle", headers=operator).is_success


def test_item_without_a_title_is_opened_by_its_id(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    assert console.client.put("/items/sku-17", json={"categories": ["camping"]}, headers=operator).is_success
    page = opened(context, console, view="merchandise")
    field(page, "id").fill("sku-17")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="sku-17")).to_be_focused()
    field(page, "id").fill("sku-18")
    page.keyboard.press("Enter")
    await_text(page, "The catalogue has no such item.")
    expect(page.get_by_role("region", name="Item")).to_be_focused()
    assert console.client.delete("/items/sku-17", headers=operator).is_success


def test_undo_of_a_rule_leaves_what_somebody_else_changed_since(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    page = opened(context, console, view="merchandise")
    field(page, "item").fill("kettle")
    click(page, "Apply")
    await_text(page, "Every list follows")
    (made,) = console.client.get("/rules", headers=operator).json()["rules"]
    path = f"/rules/{made['rule_id']}"
    theirs = {"action": "pin", "item_id": "kettle", "position": 3}
    assert console.client.put(path, json=theirs, headers=operator).is_success
    click(page, "Undo")
    await_text(page, "has changed since; GET /rules:history says how")
    await_no_text(page, "Undone.")
    assert console.client.get(path, headers=operator).json()["position"] == 3
    assert console.client.delete(path, headers=operator).is_success
