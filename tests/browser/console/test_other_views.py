"""What merchandisers and product people see: rules with a list before and after, and key figures; and the tour."""

import psycopg
import pytest

from tests.browser.console.looking import await_text, click, fill, look, opened, text_of
from tests.support.chromium import Chromium
from tests.support.service import Service, eventually

pytestmark = pytest.mark.slow


def test_rule_changes_a_visitors_list_and_is_undone(
    console: Service, browser: Chromium, axe: str, operator: dict[str, str]
) -> None:
    for name in ("kettle", "torch"):
        event = {"user_id": f"of-{name}", "session_id": "s", "item_id": name, "event_type": "purchase"}
        assert console.client.post("/event", json=event, headers=operator).status_code == 202

    def listed() -> list[str]:
        answer = console.client.get("/reco?user_id=console-visitor", headers=operator).json()
        return [item["item_id"] for item in answer["items"]]

    eventually(lambda: {"kettle", "torch"} <= set(listed()), 30.0)
    last = listed()[-1]
    tab = opened(browser, console, view="merchandise")
    fill(tab, "input[name=item]", last)
    click(tab, "Apply")
    await_text(tab, "A new visitor after")
    await_text(tab, f"Pin {last} at 1")
    eventually(lambda: listed()[0] == last, describe=lambda: text_of(tab))
    look(tab, axe, "merchandise")
    click(tab, "Undo")
    await_text(tab, "Undone.")
    eventually(lambda: listed()[0] != last, describe=lambda: text_of(tab))


def test_key_figures_are_shown_by_source_and_variant(console: Service, browser: Chromium, axe: str) -> None:
    tab = opened(browser, console, view="measure")
    await_text(tab, "By variant, with 95 % intervals")
    look(tab, axe, "measure")


def test_version_is_promoted_and_rolled_back(console: Service, browser: Chromium, axe: str) -> None:
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        database.execute(
            "INSERT INTO ranking_models (weights, origin, reason, figures) "
            "SELECT weights, 'imported', 'from a file', '{}' FROM ranking_models WHERE version = 1"
        )
    tab = opened(browser, console, view="model")
    await_text(tab, "Versions")
    click(tab, "Promote version 2")
    fill(tab, "input[name=reason]", "to try it")
    look(tab, axe, "versions")
    click(tab, "Promote version 2")
    await_text(tab, "Version 2 serves, pinned.")
    click(tab, "Roll back")
    fill(tab, "input[name=reason]", "tried")
    tab.run("document.querySelector('[aria-label=Confirm] button').click()")
    await_text(tab, "Version 1 serves in place of 2, pinned.")
    click(tab, "Let the learner decide")
    await_text(tab, "The learner decides again.")


def test_tour_leads_through_the_views_in_five_clicks(console: Service, browser: Chromium, axe: str) -> None:
    tab = opened(browser, console)
    click(tab, "Take the tour")
    for stop, view in enumerate(("Live", "Try", "Try", "Measure", "Ranking"), start=1):
        await_text(tab, f"{stop} of 5.")
        eventually(lambda view=view: tab.run("document.title").startswith(view))
        if stop == 2:
            look(tab, axe, "tour")
        click(tab, "Next" if stop < 5 else "End the tour")
    await_text(tab, "Take the tour")
