"""What somebody typed and did not send is there again, and Undo is, after another view; nobody else gets them."""

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.console.looking import OPS_TOKEN, SCOPED, await_no_text, await_text, click, field, named, opened
from tests.support.service import Service

pytestmark = pytest.mark.slow

COLLEAGUES_TOKEN = SCOPED["read-catalogue"][1]
RULE = {"what": "bury", "target": "category", "item": "camping", "factor": "0.25", "within": "tents", "user": "ann"}


def fill(form: Locator, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        one = field(form, name)
        if one.evaluate("field => field.tagName") == "SELECT":
            one.select_option(text)
        else:
            one.fill(text)


def shows(form: Locator, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        expect(field(form, name)).to_have_value(text)


def leave_and_return(page: Page, view: str) -> None:
    click(page, "Live")
    expect(page).to_have_title("Live · Reco console")
    click(page, view)
    expect(page).to_have_title(f"{view} · Reco console")


def sign_in(page: Page, token: str) -> None:
    field(page, "key").fill(token)
    page.keyboard.press("Enter")
    expect(named(page, "Sign out")).to_be_visible()


def test_rule_that_was_typed_is_there_again(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    page = opened(context, console, view="merchandise")
    rule = page.get_by_role("form", name="Rule")
    fill(rule, RULE)
    leave_and_return(page, "Merchandise")
    shows(rule, RULE)
    await_text(page, "What you had typed and not sent is here again.")
    expect(page.locator("main")).to_be_focused()
    context.clear_cookies()
    click(rule, "Preview")
    await_text(page, "Your session has ended. Sign in again. What you had typed is kept for the same key.")
    sign_in(page, OPS_TOKEN)
    shows(rule, RULE)
    click(rule, "Apply")
    await_text(page, "Bury category camping × 0.25 in tents. Every list follows")
    leave_and_return(page, "Merchandise")
    shows(rule, {"what": "pin", "item": ""})
    await_no_text(page, "here again")
    # What was done last can still be undone.
    field(rule, "item").fill("kettle")
    click(rule, "Preview")
    await_text(page, "Nothing is changed yet. Before: Bury category camping")
    click(page, "Undo")
    await_text(page, "Undone.")
    assert console.client.get("/rules", headers=operator).json()["rules"] == []


def test_text_that_is_discarded_does_not_come_back(console: Service, context: BrowserContext) -> None:
    page = opened(context, console, view="merchandise")
    rule = page.get_by_role("form", name="Rule")
    fill(rule, RULE)
    leave_and_return(page, "Merchandise")
    click(rule, "Discard it")
    shows(rule, {"what": "pin", "item": "", "user": ""})
    leave_and_return(page, "Merchandise")
    shows(rule, {"what": "pin", "item": "", "user": ""})
    await_no_text(page, "here again")


def test_nobody_else_gets_what_was_typed(console: Service, context: BrowserContext) -> None:
    page = opened(context, console, view="merchandise")
    rule = page.get_by_role("form", name="Rule")
    fill(rule, RULE)
    click(page, "Sign out")
    sign_in(page, COLLEAGUES_TOKEN)
    shows(rule, {"what": "pin", "item": "", "user": ""})
    await_no_text(page, "here again")


def test_experiment_that_was_typed_is_there_again(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    page = opened(context, console, view="measure")
    click(page, "Start an experiment")
    typed = {"name": "typed", "hypothesis": "More clicks.", "variant-0": "b", "primary": "revenue", "currency": "EUR"}
    start = page.get_by_role("group", name="New experiment")
    fill(start, typed)
    click(start, "Add a variant")
    fill(start, {"variant-1": "c"})
    field(start, "guard-ctr").check()
    click(page, "How many users does it take?")
    fill(page.get_by_role("group", name="How many users"), {"metric": "watch_time", "baseline": "7", "deviation": "3"})
    leave_and_return(page, "Measure")
    shows(start, {**typed, "variant-1": "c"})
    expect(field(start, "guard-ctr")).to_be_checked()
    expect(field(start, "guard-conversion")).not_to_be_checked()
    shows(page.get_by_role("group", name="How many users"), {"metric": "watch_time", "baseline": "7", "deviation": "3"})
    expect(page.locator("main")).to_be_focused()
    click(start, "Start")
    await_text(page, "typed runs.")
    click(page, "End typed")
    fill(page, {"conclusion": "no difference"})
    click(page, "Change the shares of typed")
    fill(page, {"share-b": "12"})
    leave_and_return(page, "Measure")
    shows(page.get_by_role("group", name="Shares"), {"share-b": "12"})
    click(page.get_by_role("group", name="Shares"), "Cancel")
    click(page, "End typed")
    shows(page, {"conclusion": "no difference"})
    assert console.client.post("/experiments/typed/stop", json={}, headers=operator).is_success
    leave_and_return(page, "Measure")
    await_text(page, "ended")
    expect(field(page, "conclusion")).to_have_count(0)


def test_change_of_an_item_is_undone_after_another_view(
    console: Service, context: BrowserContext, operator: dict[str, str]
) -> None:
    assert console.client.put("/items/kettle", json={"title": "A kettle"}, headers=operator).is_success
    page = opened(context, console, view="merchandise")
    click(page, "Open A kettle")
    item = page.get_by_role("region", name="Item")
    field(item, "title").fill("Kettle, blue")
    click(item, "Save")
    await_text(page, "A kettle is changed.")
    leave_and_return(page, "Merchandise")
    click(page, "Open Kettle, blue")
    expect(field(item, "title")).to_have_value("Kettle, blue")
    click(page, "Undo")
    await_text(page, "Undone.")
    expect(field(item, "title")).to_have_value("A kettle")
    assert console.client.get("/items/kettle", headers=operator).json()["title"] == "A kettle"
    leave_and_return(page, "Merchandise")
    expect(named(page, "Undo")).to_have_count(0)
