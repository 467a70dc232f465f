"""A key that anybody can see acts for one visitor at a time, and for nobody else."""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import jwt
import psycopg
import pytest
from click.testing import CliRunner

from app.cli import main
from app.core import keys
from app.core.user_tokens import sign
from app.devstack import Stack
from tests.support.service import Service, eventually, running
from tests.support.shared_environment import shared_environment

BROWSER, BROWSER_TOKEN = keys.make("pages", ["browser"], "b" * 43)
SERVER, SERVER_TOKEN = keys.make("shop", ["write", "read"], "s" * 43)
OPS, OPS_TOKEN = keys.make("ops", ["admin"], "o" * 43)
OLD, NEW = "old-" + "x" * 64, "new-" + "y" * 64
SHOP: Final = "https://shop.example"
ITEMS: Final = ("tent", "stove", "lamp", "rope")


@pytest.fixture(scope="module")
def service(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[Service]:
    """One for all tests of this module; each has visitors of its own."""
    environment = shared_environment(
        stack,
        template_database,
        redis_base_url,
        "browsers",
        API_KEYS=",".join(key.entry() for key in (BROWSER, SERVER, OPS)),
        API_KEYS_IN_QUERY="true",
        USER_TOKEN_SECRETS=f"{NEW},{OLD}",
        CORS_ALLOW_ORIGINS=SHOP,
        BROWSER_NEW_VISITORS_PER_MINUTE="0",
    )
    with environment as settings, running(settings) as service:
        service.client.headers["x-api-key"] = OPS_TOKEN
        items = [{"item_id": item_id, "title": item_id} for item_id in ITEMS]
        assert service.client.post("/items", json={"items": items}).status_code == 200
        yield service


OPENED: Final[list[httpx.Client]] = []


@pytest.fixture(autouse=True)
def connections() -> Iterator[None]:
    """Those of browsers end with the test."""
    yield
    while OPENED:
        OPENED.pop().close()


class Browser:
    """What a page of one visitor asks; `token` is that of the user who is logged in."""

    def __init__(self, service: Service, token: str | None = None, visitor_id: str | None = None) -> None:
        self.visitor_id = visitor_id or secrets.token_hex(16)
        self.user_id = f"visitor:{self.visitor_id}"
        self.client = httpx.Client(base_url=service.url, timeout=20, headers={"x-api-key": BROWSER_TOKEN})
        OPENED.append(self.client)
        self.client.headers["x-visitor-id"] = self.visitor_id
        if token is not None:
            self.client.headers["x-user-token"] = token

    def view(self, item_id: str, **more: Any) -> httpx.Response:
        event = {"session_id": "s1", "item_id": item_id, "event_type": "view", **more}
        return self.client.post("/event", json=event)

    def recent(self, user_id: str | None = None) -> set[str]:
        answer = self.client.get(f"/users/{user_id or self.user_id}/recent")
        assert answer.status_code == 200, answer.text
        return {item["item_id"] for item in answer.json()["items"]}


def token_of(user_id: str, secret: str = NEW, *, life_sec: float = 3600.0) -> str:
    return sign(user_id, secret, now_sec=time.time(), life_sec=life_sec)


def own(answer: httpx.Response) -> set[str]:
    """The items of a list that are there because the user had them."""
    assert answer.status_code == 200, answer.text
    return {item["item_id"] for item in answer.json()["items"] if item["source"] == "repeat"}


def problem(answer: httpx.Response) -> tuple[int, str, list[str]]:
    body = answer.json()
    return answer.status_code, body["code"], [error["path"] for error in body.get("errors", [])]


def test_visitors_write_and_read_what_is_their_own(service: Service) -> None:
    ann, bob = Browser(service), Browser(service)
    assert ann.view("tent").status_code == 202
    assert bob.view("stove", user_id=bob.user_id).status_code == 202
    assert (ann.recent(), bob.recent()) == ({"tent"}, {"stove"})
    shown = {"session_id": "s1", "items": [{"item_id": "lamp", "position": 0}]}
    assert ann.client.post("/log/impression", json=shown).status_code == 202
    assert ann.client.post("/log/watch", json={"session_id": "s1", "item_id": "rope", "watch_time_sec": 9}).is_success
    for path in ("/reco", "/similar/tent", "/popular", "/trending", "/bought-together/tent"):
        assert ann.client.get(path).status_code == 200, path
    assert ann.client.get(f"/users/{ann.user_id}/buy-again").status_code == 200
    # Items that nobody has had before are their own once they are counted.
    eventually(lambda: own(ann.client.get("/reco?repeats=only")) == {"tent", "rope"}, describe=service.describe)
    assert own(ann.client.post("/reco", json={"repeats": "only"})) == {"tent", "rope"}
    assert ann.client.post("/rank", json={"items": ["tent"]}).json()["items"][0]["item_id"] == "tent"


def test_nobody_else_is_meant_by_any_call(service: Service) -> None:
    ann, bob = Browser(service), Browser(service)
    bob.view("stove")
    assert problem(ann.view("tent", user_id=bob.user_id)) == (403, "other_user", ["$.user_id"])
    refused = 403, "other_user", ["$.user_id"]
    for other in (bob.user_id, "an-account", ann.visitor_id):
        for path in (f"/reco?user_id={other}", f"/users/{other}/recent", f"/users/{other}/buy-again"):
            assert problem(ann.client.get(path)) == refused, path
        assert problem(ann.client.post("/reco", json={"user_id": other})) == refused
        assert problem(ann.client.post("/rank", json={"user_id": other, "items": ["tent"]})) == refused
    # Not by a session of theirs either, which serves somebody of whom nothing is known.
    other = {"session_id": "of-the-account", "user_id": "an-account", "item_id": "rope", "event_type": "purchase"}
    service.client.post("/event", json=other)
    by_session = "/reco?session_id=of-the-account&repeats=only&user_id="
    eventually(lambda: own(service.client.get(by_session + "nobody")) == {"rope"}, describe=service.describe)
    assert own(ann.client.get(by_session + ann.user_id)) == set()
    posted = {"session_id": "of-the-account", "repeats": "only"}
    assert own(service.client.post("/reco", json={**posted, "user_id": "nobody"})) == {"rope"}
    assert own(ann.client.post("/reco", json=posted)) == set()
    assert ann.client.get(f"/users/{ann.user_id}/recent?session_id=of-the-account").json()["items"] == []


def test_events_of_a_batch_are_refused_each_for_itself(service: Service) -> None:
    ann = Browser(service)
    view = {"session_id": "s1", "event_type": "view"}
    batch = [
        {**view, "item_id": "tent"},
        {**view, "item_id": "tent", "user_id": "bob"},
        {**view, "item_id": "unheard-of"},
        {**view, "item_id": "unheard-of", "user_id": "bob", "anonymous_id": "carol"},
        {"session_id": "s1", "event_type": "impression", "items": [{"item_id": "gone", "position": 3}]},
        {},
    ]
    answer = ann.client.post("/log/batch", json=batch).json()
    assert (answer["accepted"], answer["invalid"]) == (1, 5)
    paths = [[error["path"] for error in result.get("errors", [])] for result in answer["results"]]
    assert paths[:5] == [
        [],
        ["$.user_id"],
        ["$.item_id"],
        ["$.user_id", "$.anonymous_id", "$.item_id"],
        ["$.items[0].item_id"],
    ]
    assert "$.user_id" not in paths[5]
    assert "catalogue" in answer["results"][2]["errors"][0]["message"]
    refused = ann.client.post("/log/batch?atomic=true", json=batch[:2])
    assert problem(refused) == (422, "invalid", ["$[1].user_id"])
    assert problem(ann.view("unheard-of")) == (422, "invalid", ["$.item_id"])
    # What has just been put into the catalogue is known.
    assert service.client.put("/items/unheard-of", json={"title": "now it is"}).is_success
    assert ann.view("unheard-of").status_code == 202


def test_a_visitor_is_named_or_the_request_is_refused(service: Service) -> None:
    ann = Browser(service)
    del ann.client.headers["x-visitor-id"]
    assert problem(ann.view("tent")) == (401, "no_visitor", [])
    for wrong in ("short", "x" * 65, "with space" * 3, "with:colon" * 3):
        refused = ann.client.get("/popular", headers={"x-visitor-id": wrong})
        assert problem(refused) == (422, "invalid", ["X-Visitor-ID"])


def test_a_beacon_names_its_visitor_in_the_query(service: Service) -> None:
    ann = Browser(service)
    event = [{"session_id": "s1", "item_id": "tent", "event_type": "view"}]
    query = {"key": BROWSER_TOKEN, "visitor_id": ann.visitor_id}
    sent = httpx.post(f"{service.url}/log/batch", params=query, content=json.dumps(event))
    assert sent.json()["accepted"] == 1
    token = {"key": BROWSER_TOKEN, "user_token": token_of("beacon-user")}
    assert httpx.post(f"{service.url}/log/batch", params=token, content=json.dumps(event)).json()["accepted"] == 1
    assert ann.recent() == {"tent"}
    nobody = httpx.post(f"{service.url}/log/batch", params={"key": BROWSER_TOKEN}, content=json.dumps(event))
    assert problem(nobody) == (401, "no_visitor", [])


def test_a_token_is_that_of_a_user_and_no_other_text_is(service: Service) -> None:
    now = time.time()
    right = [token_of("dora"), token_of("dora", OLD), jwt.encode({"sub": "dora", "exp": now + 60}, NEW, "HS256")]
    for token in right:
        dora = Browser(service, token)
        assert dora.view("tent").status_code == 202
        assert dora.recent("dora") == {"tent"}
    claims, none = {"sub": "dora", "exp": now + 60}, right[0].split(".")
    forged = [
        *("x", "a.b.c", ".."),
        right[0][:-4] + "AAAA",
        token_of("dora", "z" * 32),
        ".".join([none[0], token_of("eve").split(".")[1], none[2]]),
        jwt.encode(claims, NEW, "HS512"),
        jwt.encode(claims, None, "none"),
        jwt.encode({"sub": "dora"}, NEW, "HS256"),
        jwt.encode({**claims, "exp": now * 1000}, NEW, "HS256"),
        jwt.encode({**claims, "nbf": now + 600}, NEW, "HS256"),
        jwt.encode({**claims, "sub": Browser(service).user_id}, NEW, "HS256"),
        jwt.encode({**claims, "sub": "line\nfeed"}, NEW, "HS256"),
    ]
    for token in forged:
        assert problem(Browser(service, token).view("tent")) == (401, "wrong_user_token", []), token
    ended = jwt.encode({"sub": "dora", "exp": now - 60}, NEW, "HS256")
    assert problem(Browser(service, ended).view("tent")) == (401, "user_token_expired", [])


def test_a_log_in_joins_the_visitor_into_the_account_and_nothing_else_does(service: Service) -> None:
    before = Browser(service)
    before.view("tent")
    account = f"account-{secrets.token_hex(4)}"
    after = Browser(service, token_of(account), before.visitor_id)
    other = Browser(service)
    other.view("rope")
    for anonymous_id in (other.user_id, before.visitor_id, "somebody"):
        refused = after.view("stove", anonymous_id=anonymous_id)
        assert problem(refused) == (403, "other_user", ["$.anonymous_id"])
    assert problem(before.view("stove", anonymous_id=account)) == (403, "other_user", ["$.anonymous_id"])
    assert problem(before.view("stove", anonymous_id=before.user_id)) == (403, "other_user", ["$.anonymous_id"])
    swapped = after.view("stove", user_id=before.user_id, anonymous_id=before.user_id)
    assert problem(swapped) == (403, "other_user", ["$.anonymous_id"])

    assert after.view("stove", anonymous_id=before.user_id).status_code == 202
    eventually(lambda: after.recent(account) == {"tent", "stove"}, describe=service.describe)
    # The events that the browser had kept from before may still come.
    assert after.view("lamp", user_id=before.user_id).status_code == 202
    eventually(lambda: after.recent(account) == {"tent", "stove", "lamp"}, describe=service.describe)
    assert before.recent() == {"tent", "lamp"}
    links = service.client.get(f"/users/{account}").json()["links"]
    assert [(link["anonymous_id"], link["user_id"]) for link in links] == [(before.user_id, account)]


def test_segments_and_other_calls_are_not_for_browsers(service: Service) -> None:
    ann = Browser(service, token_of("dora"))
    reads = ("/users", "/users/dora", "/items", "/items/tent", "/rules", "/metrics/reco", "/dead-letters")
    posts = ("/v1/batch", "/v1/identify", "/v1/alias", "/users/dora/merge", "/reco/batch", "/rules/preview")
    calls = [*(("GET", path) for path in reads), *(("POST", path) for path in posts)]
    calls += [("DELETE", "/users/dora"), ("PUT", "/items/tent")]
    for method, path in calls:
        assert problem(ann.client.request(method, path, json={})) == (403, "missing_scope", []), path
    assert problem(ann.client.get("/reco?variant=control"))[:2] == (403, "missing_scope")
    console = {"x-reco-console": "1"}
    signed_in = httpx.post(f"{service.url}/console/session", json={"key": BROWSER_TOKEN}, headers=console)
    assert (signed_in.status_code, "set-cookie" in signed_in.headers) == (403, False)


def test_a_browser_may_send_what_tells_its_visitor(service: Service) -> None:
    asked = {
        "origin": SHOP,
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-visitor-id,x-user-token,authorization",
    }
    allowed = httpx.options(f"{service.url}/event", headers=asked).headers["access-control-allow-headers"].lower()
    assert {"x-visitor-id", "x-user-token"} <= {name.strip() for name in allowed.split(",")}


@pytest.mark.slow
def test_a_servers_key_in_a_page_is_noticed_once_and_by_the_doctor(service: Service) -> None:
    def exposed() -> list[tuple[str, str]]:
        with psycopg.connect(service.environment["DATABASE_URL"]) as database:
            query = "SELECT actor, targets[1] FROM audit_log WHERE action = 'expose_key'"
            return database.execute(query).fetchall()

    Browser(service).client.get("/popular", headers={"origin": SHOP})
    for _ in range(3):
        page = {"x-api-key": SERVER_TOKEN, "origin": SHOP}
        assert httpx.get(f"{service.url}/popular", headers=page).status_code == 200
        own = {"x-api-key": OPS_TOKEN, "origin": service.url}
        assert httpx.get(f"{service.url}/contract", headers=own).status_code == 200
    eventually(lambda: exposed() == [("shop", "GET /popular")], 30.0, service.describe)
    doctor = CliRunner().invoke(main, ["doctor"], env=service.environment)
    assert "pages in browsers use the key shop" in doctor.output
    assert "key pages" not in doctor.output


@pytest.mark.shows("reco token sign", "reco token check")
def test_reco_token_signs_and_checks(service: Service) -> None:
    def reco(*arguments: str) -> tuple[int, str]:
        ended = CliRunner().invoke(main, ["token", *arguments], env={"USER_TOKEN_SECRETS": f"{NEW},{OLD}"})
        return ended.exit_code, ended.output.strip()

    code, token = reco("sign", "erin", "--ttl", "10m")
    assert (code, reco("check", token)) == (0, (0, "erin"))
    assert Browser(service, token).view("lamp").status_code == 202
    assert reco("check", token_of("erin", "z" * 32))[0] == 2
    assert reco("sign", "erin", "--ttl", "60d")[0] == 2
    assert reco("sign", Browser(service).user_id)[0] == 2
    assert reco("sign", "erin", "--secrets", "short")[0] == 2
