"""What somebody did before the log-in shows in the account's lists, and is erased with the account."""

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from app.cli import main
from app.devstack import Stack
from tests.support.service import Service, eventually, running
from tests.support.shared_environment import shared_environment


@pytest.fixture(scope="module")
def service(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[Service]:
    """One for all tests of this module; each has users of its own."""
    environment = shared_environment(stack, template_database, redis_base_url, "persons")
    with environment as settings, running(settings) as service:
        yield service


def views(service: Service, user_id: str, item_id: str, **more: Any) -> None:
    event = {"user_id": user_id, "session_id": f"of-{user_id}", "item_id": item_id, "event_type": "view", **more}
    answer = service.client.post("/event", json=event)
    assert answer.status_code == 202, answer.text


def recent(service: Service, user_id: str) -> set[str]:
    answer = service.client.get(f"/users/{user_id}/recent")
    assert answer.status_code == 200, answer.text
    return {item["item_id"] for item in answer.json()["items"]}


def merge(service: Service, user_id: str, anonymous_id: str) -> dict[str, Any]:
    answer = service.client.post(f"/users/{user_id}/merge", json={"anonymous_id": anonymous_id})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def unmerge(service: Service, user_id: str, anonymous_id: str) -> int:
    return service.client.delete(f"/users/{user_id}/merge", params={"anonymous_id": anonymous_id}).status_code


def database(service: Service) -> "psycopg.Connection[tuple[Any, ...]]":
    return psycopg.connect(service.environment["DATABASE_URL"], autocommit=True)


def links(service: Service, user_id: str) -> list[tuple[str, str]]:
    answer = service.client.get(f"/users/{user_id}")
    return [(link["anonymous_id"], link["user_id"]) for link in answer.json().get("links", [])]


def test_an_anonymous_history_is_joined_into_the_account_at_once(service: Service) -> None:
    views(service, "visitor-1", "tent")
    views(service, "ann", "stove")
    assert (recent(service, "ann"), recent(service, "visitor-1")) == ({"stove"}, {"tent"})
    first = merge(service, "ann", "visitor-1")
    assert merge(service, "ann", "visitor-1") == first
    assert recent(service, "ann") == {"stove", "tent"}
    assert recent(service, "visitor-1") == {"tent"}
    assert links(service, "ann") == links(service, "visitor-1") == [("visitor-1", "ann")]
    # What either id does afterwards is there as well, counted or not.
    views(service, "visitor-1", "lamp")
    views(service, "ann", "rope")
    assert recent(service, "ann") == {"stove", "tent", "lamp", "rope"}


def test_an_account_takes_back_what_was_done_before_the_log_in(service: Service) -> None:
    def takes_back(user_id: str, event_id: str) -> int:
        event = {"user_id": user_id, "session_id": "s", "event_type": "cancel", "cancels": event_id}
        return service.client.post("/event", json=event).status_code

    for number, visitor in enumerate(("device-1", "device-2")):
        views(service, visitor, "tent", event_id=f"of {visitor}")
        assert takes_back("gina", f"of {visitor}") == 422
        # The first device by way of the second.
        merge(service, ("device-2", "gina")[number], visitor)
    assert recent(service, "gina") == {"tent"}
    assert takes_back("device-1", "of device-2") == 422  # it goes one way
    batch = [{"user_id": "gina", "session_id": "s", "event_type": "cancel", "cancels": "of device-2"}]
    answer = service.client.post("/log/batch", json=batch).json()
    assert answer["accepted"] == 1, answer
    assert recent(service, "device-2") == {"tent"}  # of the other device
    assert takes_back("gina", "of device-1") == 202
    assert recent(service, "gina") == recent(service, "device-1") == set()
    assert takes_back("gina", "of device-1") == takes_back("device-1", "of device-1") == 200
    assert unmerge(service, "gina", "device-2") == 204
    assert takes_back("gina", "of device-1") == 422


@pytest.mark.parametrize("order", ["events first", "link first"])
def test_the_order_of_events_and_links_does_not_matter(service: Service, order: str) -> None:
    user_id, visitor = f"user {order}", f"visitor {order}"
    steps = [lambda: views(service, visitor, "tent"), lambda: merge(service, user_id, visitor)]
    for step in steps if order == "events first" else reversed(steps):
        step()
    assert recent(service, user_id) == {"tent"}


def test_an_event_with_both_ids_joins_them(service: Service) -> None:
    views(service, "visitor-2", "tent")
    views(service, "bob", "stove", anonymous_id="visitor-2")
    eventually(lambda: recent(service, "bob") == {"tent", "stove"}, describe=service.describe)
    views(service, "bob", "rope", anonymous_id="bob")
    assert links(service, "bob") == [("visitor-2", "bob")]


def test_segments_identify_and_alias_join_both_ids(service: Service) -> None:
    for visitor, item_id in (("s1", "tent"), ("s2", "stove"), ("s3", "rope")):
        views(service, visitor, item_id)
    batch = [
        {"type": "identify", "userId": "sue", "anonymousId": "s1"},
        {"type": "alias", "userId": "sue", "previousId": "s2"},
        {"type": "identify", "userId": "sue"},
    ]
    answer = service.client.post("/v1/batch", json={"batch": batch}).json()
    assert (answer["linked"], answer["unmapped"], answer["errors"]) == (2, 1, [])
    assert recent(service, "sue") == {"tent", "stove"}
    assert service.client.post("/v1/identify", json=batch[0]).json()["linked"] == 0
    viewed = {"userId": "sue", "anonymousId": "s3", "event": "Product Viewed", "properties": {"sku": "lamp"}}
    assert service.client.post("/v1/track", json=viewed).json()["accepted"] == 1
    eventually(lambda: recent(service, "sue") == {"tent", "stove", "rope", "lamp"}, describe=service.describe)


def test_a_link_is_undone_within_a_day_and_not_made_again_by_events(service: Service) -> None:
    views(service, "visitor-4", "tent")
    merge(service, "cat", "visitor-4")
    assert recent(service, "cat") == {"tent"}
    assert unmerge(service, "cat", "visitor-4") == 204
    assert recent(service, "cat") == set()
    assert unmerge(service, "cat", "visitor-4") == 404
    views(service, "cat", "stove", anonymous_id="visitor-4")
    eventually(lambda: service.client.get("/users/cat").json()["history"], describe=service.describe)
    assert (links(service, "cat"), recent(service, "cat")) == ([], {"stove"})
    merge(service, "cat", "visitor-4")
    assert recent(service, "cat") == {"tent", "stove"}
    with database(service) as connection:
        connection.execute("UPDATE user_links SET linked_at = linked_at - interval '25 hours' WHERE user_id = 'cat'")
    assert unmerge(service, "cat", "visitor-4") == 409
    assert recent(service, "cat") == {"tent", "stove"}


@pytest.mark.parametrize("by", ["account", "visitor"])
def test_linked_ids_are_erased_together_and_stay_erased(service: Service, by: str) -> None:
    user_id, visitor = f"dan-{by}", f"visitor-5-{by}"
    views(service, visitor, "tent")
    views(service, user_id, "stove", anonymous_id=visitor)
    views(service, f"other-{by}", "rope")
    eventually(lambda: links(service, user_id), describe=service.describe)
    erased = service.client.delete(f"/users/{user_id if by == 'account' else visitor}").json()
    assert (sorted(erased["erased_ids"]), erased["events"]) == (sorted([user_id, visitor]), 2)
    assert recent(service, user_id) == recent(service, visitor) == set()
    assert service.client.get(f"/users/{user_id}").json().get("links", []) == []
    assert recent(service, f"other-{by}") == {"rope"}
    # New events of either id are new, and what was linked is not.
    views(service, visitor, "lamp")
    assert (recent(service, user_id), recent(service, visitor)) == (set(), {"lamp"})


def test_a_shared_device_is_erased_without_its_accounts(service: Service) -> None:
    views(service, "kiosk", "tent")
    for user_id, item_id in (("eve", "stove"), ("fay", "rope")):
        views(service, user_id, item_id)
        merge(service, user_id, "kiosk")
        assert recent(service, user_id) == {"tent", item_id}
    assert service.client.delete("/users/kiosk").json()["erased_ids"] == ["kiosk"]
    views(service, "kiosk", "lamp")
    eventually(
        lambda: recent(service, "eve") == {"stove"} and recent(service, "fay") == {"rope"},
        describe=lambda: (recent(service, "eve"), recent(service, "fay"), service.log()),
    )


def test_an_account_with_too_many_ids_is_refused_another(service: Service) -> None:
    for number in range(32):
        merge(service, "gus", f"visitor-{number}")
    answer = service.client.post("/users/gus/merge", json={"anonymous_id": "one-more"})
    assert (answer.status_code, "32 links" in answer.json()["detail"]) == (409, True)
    assert merge(service, "gus", "visitor-7")["user_id"] == "gus"
    # Nor is one that was undone made again beside 32 others.
    assert unmerge(service, "gus", "visitor-7") == 204
    merge(service, "gus", "one-more")
    refused = service.metric("reco_user_links_refused_total")
    assert service.client.post("/users/gus/merge", json={"anonymous_id": "visitor-7"}).status_code == 409
    assert len(links(service, "gus")) == 32
    assert service.metric("reco_user_links_refused_total") == refused + 1


def test_a_body_that_is_wrong_names_all_its_faults(service: Service) -> None:
    answer = service.client.post("/users/ann/merge", json={"anonymous_id": "", "anonymous": 1})
    paths = {(error["path"], error["message"].partition(" ")[0]) for error in answer.json()["errors"]}
    assert (answer.status_code, paths) == (422, {("$.anonymous_id", "Expected"), ("$", "Object")})
    answer = service.client.post("/users/ann/merge", json={"anonymous_id": "ann"})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "$.anonymous_id")
    assert unmerge(service, "ann", "") == unmerge(service, "ann", "ann") == 422


@pytest.mark.shows("reco users links")
def test_an_operator_sees_links_and_who_made_them(service: Service) -> None:
    merge(service, "hal", "visitor-6")
    assert unmerge(service, "hal", "visitor-6") == 204
    merge(service, "hal", "visitor-7b")
    environment = {"DATABASE_URL": service.environment["DATABASE_URL"]}
    shown = CliRunner().invoke(main, ["users", "links", "hal", "--json"], env=environment)
    assert [json.loads(line)["anonymous_id"] for line in shown.stdout.splitlines()] == ["visitor-7b"]
    shown = CliRunner().invoke(main, ["users", "links", "hal"], env=environment)
    since, until = re.findall(r"\d{4}-\d\d-\d\d", shown.stdout)
    assert date.fromisoformat(until) - date.fromisoformat(since) == timedelta(days=1)
    shown = CliRunner().invoke(main, ["users", "links", "nobody"], env=environment)
    assert shown.stdout == "Nothing there.\n"
    told = CliRunner().invoke(main, ["audit", "--json", "--action", "undo_merge"], env=environment)
    (row,) = [json.loads(line) for line in told.stdout.splitlines() if json.loads(line)["outcome"] == "undone"][:1]
    assert row["targets"][0].startswith("link ")
    assert "hal" not in told.stdout
