"""Gorse's clients, as they are published, call a running service."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from gorse import AsyncGorse, Gorse, GorseException

from app.core import keys
from app.devstack import Stack
from tests.support.npm import npm_install
from tests.support.service import Service, eventually, running
from tests.support.shared_environment import shared_environment

GORSE, TOKEN = keys.make("gorse", ["write", "read", "catalogue", "users"], "g" * 43)
READ, READ_TOKEN = keys.make("front", ["read"], "r" * 43)
# Its package does not say that it needs tslib.
NODE: Final = ("gorsejs@0.4.8", "tslib@2")

FROM_NODE: Final = """\
const { Gorse, GorseException } = require("gorsejs");
const client = new Gorse({ endpoint: process.env.URL, secret: process.env.KEY });
const said = {};
(async () => {
  said.user = await client.insertUser({ UserId: "nora", Labels: ["a"], Comment: "c" });
  said.user_updated = await client.updateUser("nora", { Labels: ["b"], Comment: "d" });
  said.items = await client.upsertItems([
    { ItemId: "js1", IsHidden: false, Timestamp: new Date("2026-01-01T00:00:00Z"), Categories: ["node"] },
    { ItemId: "js2", IsHidden: false, Timestamp: "2026-01-02T00:00:00Z", Categories: ["node"], Comment: "Two" }]);
  said.category = await client.insertItemCategory("js1", "extra");
  said.item = await client.getItem("js1");
  said.updated = await client.updateItem("js2", { ItemId: "js2", IsHidden: false, Comment: "Second" });
  said.inserted = await client.insertFeedbacks([
    { FeedbackType: "like", UserId: "nora", ItemId: "js1", Timestamp: new Date() }]);
  said.upserted = await client.upsertFeedbacks([
    { FeedbackType: "read", UserId: "nora", ItemId: "js2", Timestamp: "2022-08-07T00:26:46Z" }]);
  said.feedback = await client.getUserFeedbackByType("nora", "like");
  said.one = await client.getFeedback({ type: "read", userId: "nora", itemId: "js2" });
  said.page = (await client.getFeedbacks("like", { n: 100 })).Feedbacks.filter(f => f.UserId === "nora").length;
  said.latest = await client.getLatest({ category: "node" });
  said.session = await client.getSessionRecommend([
    { FeedbackType: "like", UserId: "x", ItemId: "js1", Timestamp: new Date() }]);
  said.recommended = await client.getRecommend({ userId: "nobody", category: "node", cursorOptions: { n: 2 } });
  said.popular = await client.getPopular({});
  said.neighbors = await client.getItemNeighbors({ itemId: "js1" });
  try { await client.getItem("absent"); } catch (error) { said.absent = [error instanceof GorseException, error.code]; }
  try { await client.getUserNeighbors({ userId: "nora" }); } catch (error) { said.strangers = error.code; }
  console.log(JSON.stringify(said));
})().catch(error => { console.error(error); process.exitCode = 1; });
"""


@pytest.fixture(scope="module")
def service(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[Service]:
    """One for all tests of this module; each has users and items of its own."""
    environment = shared_environment(
        stack,
        template_database,
        redis_base_url,
        "gorse",
        API_KEYS=f"{GORSE.entry()},{READ.entry()}",
        GORSE_API="true",
        GORSE_FEEDBACK='{"subscribe": "purchase", "mute": "none", "seconds": "watch"}',
    )
    with environment as settings, running(settings) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Gorse:
    return Gorse(service.url, TOKEN, timeout=15)


def feedback(kind: str, user_id: str, item_id: str, at: datetime | None = None, **more: Any) -> dict[str, Any]:
    at = at or datetime.now(UTC)
    return {"FeedbackType": kind, "UserId": user_id, "ItemId": item_id, "Timestamp": at.isoformat(), **more}


def send(service: Service, method: str, path: str, **options: Any) -> httpx.Response:
    return httpx.request(method, f"{service.url}{path}", headers={"x-api-key": TOKEN}, timeout=15.0, **options)


@pytest.mark.shows("GORSE_API")
def test_pygorse_fills_a_catalogue_and_a_history_and_asks_for_lists(service: Service, client: Gorse) -> None:
    for number in range(3):
        item = {
            "ItemId": f"film-{number}",
            "IsHidden": False,
            "Categories": ["film"],
            "Labels": {"genre": ["noir", "crime"], "embedding": [0.1, 0.2]},
            "Timestamp": f"202{number}-03-01 00:00:00",
            "Comment": f"Film {number}",
        }
        assert client.insert_item(item) == {"RowAffected": 1}
    assert client.get_item("film-1") == {
        "ItemId": "film-1",
        "IsHidden": False,
        "Categories": ["film"],
        "Comment": "Film 1",
        "Labels": ["genre:noir", "genre:crime"],
        "Timestamp": "2021-03-01T00:00:00Z",
    }
    assert client.update_item("film-1", comment="Another film") == {"RowAffected": 1}
    assert client.get_item("film-1")["Comment"] == "Another film"
    assert client.get_item("film-1")["Categories"] == ["film"]
    assert client.insert_users([{"UserId": "eva", "Labels": []}, {"UserId": "uwe"}]) == {"RowAffected": 2}

    def counted() -> float:
        return service.metric("reco_feature_consumer_processed_total", status="applied")

    before = counted()
    for user in ("eva", "uwe"):
        assert client.insert_user({"UserId": user, "Labels": {"age": 24}}) == {"RowAffected": 1}
        given = [feedback("like", user, f"film-{number}", Value=1.0) for number in range(2)]
        assert client.insert_feedbacks(given) == {"RowAffected": 2}
        assert client.insert_feedbacks(given) == {"RowAffected": 2}  # sent again
    client.insert_feedback("read", "ina", "film-0", datetime.now(UTC).isoformat())
    eventually(lambda: counted() >= before + 5, describe=service.describe)
    eventually(lambda: client.get_neighbors("film-0"), describe=service.describe)
    assert [score["Id"] for score in client.get_neighbors("film-0")] == ["film-1"]
    eventually(lambda: [score.id for score in client.get_recommend("ina")][:1] == ["film-1"])
    assert "film-0" not in {score.id for score in client.get_recommend("ina", n=50)}
    assert client.get_recommend("ina", category="film", n=1, offset=1)[0].id == "film-2"
    session = client.session_recommend([feedback("like", "anybody", "film-0")], n=2)
    assert session[0]["Id"] == "film-1"
    nobodys = {name: value for name, value in feedback("like", "", "film-0").items() if name != "UserId"}
    eventually(lambda: client.session_recommend([nobodys], n=2) == session, describe=service.describe)
    assert sorted(entry["ItemId"] for entry in client.list_feedbacks("like", "eva")) == ["film-0", "film-1"]
    users, _ = client.get_users(100)
    assert {"UserId": "eva", "Labels": None, "Comment": ""} in users
    assert client.get_user("eva")["UserId"] == "eva"
    items, cursor = client.get_items(2)
    assert (len(items), cursor) == (2, items[1]["ItemId"])
    assert client.get_items(100, cursor)[0][0]["ItemId"] > cursor
    found, cursor = client.get_feedbacks(3)
    assert (len(found), len(client.get_feedbacks(1, cursor)[0])) == (3, 1)
    assert client.delete_user("eva") == {"RowAffected": 1}
    assert refused(lambda: client.get_user("eva")) == 404
    assert client.delete_item("film-2") == {"RowAffected": 1}
    assert refused(lambda: client.get_item("film-2")) == 404
    assert refused(lambda: client.search_items("film")) == 501
    assert refused(lambda: client.delete_feedback("uwe", "film-0")) == 501


def refused(call: Any) -> int:
    with pytest.raises(GorseException) as caught:
        call()
    return int(caught.value.status_code)


async def test_asynchronous_pygorse_recommends(service: Service) -> None:
    client = AsyncGorse(service.url, TOKEN)
    await client.insert_item({"ItemId": "lamp", "Categories": ["light"], "Timestamp": "2026-05-01T10:00:00Z"})
    scores = await client.get_recommend("somebody", category="light", write_back_type="read", write_back_delay="10m")
    assert [score.id for score in scores] == ["lamp"]
    written_back = "reco_feature_consumer_processed_total"
    assert service.metric(written_back, status="dlq") == 0


@pytest.mark.shows("GORSE_FEEDBACK")
def test_types_of_feedback_become_events(service: Service, client: Gorse) -> None:
    old = datetime(1998, 4, 3, tzinfo=UTC)
    given = [
        feedback("Subscribe", "max", "a"),
        feedback("mute", "max", "a"),
        feedback("seconds", "max", "b", Value=90.0),
        feedback("buy", "max", "c", old),
        {"FeedbackType": "view", "UserId": "max", "ItemId": "d"},
    ]
    assert client.insert_feedbacks(given) == {"RowAffected": 5}
    data = send(service, "GET", "/users/max").json()
    assert sorted((event["event_type"], event["item_id"]) for event in data["latest"]) == [
        *(("purchase", "a"), ("purchase", "c"), ("view", "d"), ("watch", "b"))
    ]
    times = {entry["ItemId"]: entry["Timestamp"] for entry in send(service, "GET", "/api/user/max/feedback").json()}
    assert times["c"] == "1998-04-03T00:00:00Z"


def test_bad_feedback_is_named_and_none_of_it_is_stored(service: Service) -> None:
    given = [
        feedback("like", "kim", "a"),
        feedback("applaud", "kim", "a"),
        feedback("like", "kim", "a", datetime.now(UTC) + timedelta(days=1)),
        {**feedback("like", "kim", "a"), "Timestamp": "yesterday"},
        feedback("seconds", "kim", "a", Value=-1),
    ]
    answer = send(service, "POST", "/api/feedback", json=given)
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["errors"]] == [
        *("$[1].FeedbackType", "$[2].Timestamp", "$[3].Timestamp", "$[4].Value")
    ]
    assert "GORSE_FEEDBACK" in answer.json()["errors"][0]["message"]
    assert send(service, "GET", "/api/user/kim").status_code == 404
    answer = send(service, "PUT", "/api/feedback", json=[{"FeedbackType": "like", "UserId": "kim"}])
    assert answer.json()["errors"][0]["path"] == "$[0]"
    once = feedback("seconds", "kim", "b", Value=1)
    assert send(service, "POST", "/api/feedback", json=[once]).json() == {"RowAffected": 1}
    answer = send(service, "POST", "/api/feedback", json=[{**once, "Value": 2}])
    assert (answer.status_code, "stored before with another value" in answer.text) == (409, True)


def test_what_cannot_be_answered_says_why(service: Service) -> None:
    answers = {
        path: send(service, "GET", path)
        for path in (
            "/api/recommend/u?n=150&offset=100",
            "/api/recommend/u?n=none",
            "/api/recommend/u/film?category=book",
            "/api/item/a/feedback/like",
            "/api/popular?offset=-1",
            "/api/popular?category=%00",
            f"/api/recommend/u?category={'x' * 129}",
        )
    }
    assert [answer.status_code for answer in answers.values()] == [422, 422, 422, 501, 422, 422, 422]
    assert send(service, "GET", "/api/popular?category=").status_code == 200
    assert "at most 200" in answers["/api/recommend/u?n=150&offset=100"].text
    too_many = [{"ItemId": f"i{number}"} for number in range(1_001)]
    assert send(service, "POST", "/api/items", json=too_many).status_code == 422
    assert send(service, "POST", "/api/items", json=[{"ItemId": "x", "Timestamp": "soon"}]).status_code == 422
    assert send(service, "PATCH", "/api/item/absent", json={}).status_code == 404
    assert send(service, "GET", "/api/nothing").status_code == 404


def test_timestamp_after_the_end_of_an_item_is_refused(service: Service) -> None:
    """Gorse's items do not end; ours may."""
    assert send(service, "PUT", "/items/ending", json={"expires_at": "2030-01-01T00:00:00Z"}).status_code == 201
    refused = send(service, "PATCH", "/api/item/ending", json={"Timestamp": "2031-01-01T00:00:00Z"})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "$.Timestamp")
    assert send(service, "PATCH", "/api/item/ending", json={"Timestamp": "2029-01-01T00:00:00Z"}).is_success
    assert send(service, "DELETE", "/items/ending").status_code == 204


def test_ids_of_paths_reach_their_item_and_every_get_answers_head(service: Service) -> None:
    for item_id in ("a/b", "50%", "ü", "neighbors"):
        assert send(service, "POST", "/api/item", json={"ItemId": item_id, "Categories": ["odd/ones"]}).is_success
        path = "/api/item/" + "".join(f"%{byte:02X}" for byte in item_id.encode())
        assert send(service, "GET", path).json()["ItemId"] == item_id
        assert send(service, "GET", f"{path}/").json()["ItemId"] == item_id
        assert send(service, "PUT", f"{path}/category/n%C3%A4he").is_success
        assert send(service, "GET", path).json()["Categories"] == ["odd/ones", "nähe"]
        assert send(service, "DELETE", f"{path}/category/odd%2Fones").is_success
        assert send(service, "GET", path).json()["Categories"] == ["nähe"]
    paths = ("users", "items", "feedback", "feedback/like", "latest", "popular", "recommend/u", "item/ü/neighbors")
    for path in (*paths, "user/u/feedback", "feedback/u/ü", "feedback/like/u/ü", "item-to-item/similar/ü"):
        answer = send(service, "HEAD", f"/api/{path}")
        assert (answer.status_code, answer.content) == (200, b"")


def test_each_call_asks_for_its_scope(service: Service) -> None:
    def status(method: str, path: str) -> int:
        return httpx.request(method, f"{service.url}{path}", headers={"x-api-key": READ_TOKEN}, json=[]).status_code

    allowed = ("/api/recommend/u", "/api/popular", "/api/latest", "/api/items", "/api/item/lamp/neighbors")
    assert {status("GET", path) for path in allowed} == {200}
    for method, path in (
        *(("POST", "/api/feedback"), ("POST", "/api/item"), ("PATCH", "/api/item/a"), ("DELETE", "/api/item/a")),
        *(("GET", "/api/users"), ("DELETE", "/api/user/a"), ("GET", "/api/feedback"), ("POST", "/api/users")),
    ):
        assert status(method, path) == 403, path


@pytest.mark.slow
def test_gorsejs_fills_a_history_and_asks_for_lists(service: Service, tmp_path: Path) -> None:
    npm_install(tmp_path, *NODE)
    done = subprocess.run(
        [str(shutil.which("node")), "-e", FROM_NODE],
        cwd=tmp_path,
        env={"KEY": TOKEN, "URL": service.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert (said["user"], said["user_updated"], said["items"]) == (1, 1, 2)
    assert (said["category"], said["updated"]) == (1, 1)
    assert said["item"]["Categories"] == ["node", "extra"]
    assert (said["inserted"], said["upserted"], said["page"]) == (1, 1, 1)
    assert [entry["ItemId"] for entry in said["feedback"]] == ["js1"]
    assert said["one"]["Timestamp"] == "2022-08-07T00:26:46Z"
    assert [entry["Id"] for entry in said["latest"]] == ["js2", "js1"]
    assert set(said["recommended"]) == {"js1", "js2"}
    assert (said["absent"], said["strangers"]) == ([True, 404], 404)
    assert all(set(entry) == {"Id", "Score"} for entry in (*said["popular"], *said["session"], *said["neighbors"]))
