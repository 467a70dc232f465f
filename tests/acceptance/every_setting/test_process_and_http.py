"""Where the process listens, what it logs, and whom it lets in."""

import os
import socket
import time
from pathlib import Path

import httpx
import pytest

from app.core.user_tokens import sign
from tests.acceptance.every_setting.world import (
    ADMIN_TOKEN,
    BROWSER_TOKEN,
    NEXT_USER_SECRET,
    READ_TOKEN,
    USER_SECRET,
    WRITE_TOKEN,
    World,
)
from tests.support.api import watch
from tests.support.service import eventually


@pytest.mark.shows("LOG_FORMAT", "LOG_LEVEL")
def test_log_is_written_for_people_and_in_detail(world: World) -> None:
    world.await_counted(world.send())
    eventually(lambda: "batch_counted" in world.service.log(), describe=world.describe)  # a line of the level DEBUG
    assert not [line for line in world.service.log().splitlines() if line.startswith("{")]


@pytest.mark.shows("HTTP_HOST", "HTTP_PORT", "HTTP_REUSE_PORT")
def test_service_listens_where_it_is_told(world: World) -> None:
    port = world.settings.http_port
    assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.2:{port}/healthz")
    with socket.socket() as another:
        another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        another.bind(("127.0.0.1", port))


@pytest.mark.shows("CORS_ALLOW_ORIGINS")
def test_browsers_of_the_named_origin_may_call(world: World) -> None:
    def allowed(origin: str) -> str | None:
        return world.client.get("/healthz", headers={"origin": origin}).headers.get("access-control-allow-origin")

    assert allowed("https://shop.example") == "https://shop.example"
    assert allowed("https://other.example") is None


@pytest.mark.shows("API_KEYS", "API_KEYS_FILE", "API_KEYS_IN_QUERY")
def test_keys_of_both_places_are_valid_and_may_stand_in_the_query(world: World) -> None:
    url = world.service.url
    assert httpx.get(f"{url}/contract").status_code == 401
    for token in (ADMIN_TOKEN, READ_TOKEN):
        assert httpx.get(f"{url}/contract", headers={"x-api-key": token}).status_code == 200
    beacon = httpx.post(f"{url}/log/batch?key={WRITE_TOKEN}", json=[{"event_type": "watch", **watch()}])
    assert beacon.status_code == 200, beacon.text


@pytest.mark.shows("HTTP_TRUSTED_PROXIES", "BROWSER_NEW_VISITORS_PER_MINUTE")
def test_an_address_has_so_many_new_visitors_as_the_proxy_names_it(world: World) -> None:
    def asked(address: str, visitor: str) -> httpx.Response:
        who = {"x-api-key": BROWSER_TOKEN, "x-forwarded-for": address, "x-visitor-id": visitor * 22}
        return httpx.get(f"{world.service.url}/popular", headers=who)

    # A minute may end between two of them, and another one begin.
    statuses = [asked("203.0.113.1", letter).status_code for letter in "abcdefg"]
    assert (statuses[:2], 429 in statuses) == ([200, 200], True)
    refused = asked("203.0.113.1", "x")
    refused = refused if refused.status_code == 429 else [asked("203.0.113.1", letter) for letter in "yzXYZ"][-1]
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_visitors")
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert asked("203.0.113.1", "a").status_code == 200
    assert asked("203.0.113.2", "A").status_code == 200


@pytest.mark.slow
@pytest.mark.shows("USER_TOKEN_SECRETS_FILE")
def test_secrets_of_user_tokens_rotate_without_a_restart(world: World) -> None:
    def asked(secret: str) -> int:
        token = sign("emil", secret, now_sec=time.time(), life_sec=60)
        who = {"x-api-key": BROWSER_TOKEN, "x-user-token": token}
        return httpx.get(f"{world.service.url}/reco", headers=who).status_code

    assert asked(NEXT_USER_SECRET) != 401
    replace(world.secret_file, f"{'m' * 32}\n")
    eventually(lambda: asked(NEXT_USER_SECRET) == 401, 30.0, world.describe)
    assert asked("m" * 32) != 401
    assert asked(USER_SECRET) != 401
    replace(world.secret_file, "half written")  # what it said last stays valid

    def told() -> float:
        assert asked("m" * 32) != 401
        return world.metric("reco_api_check_status", check="user_tokens")

    eventually(lambda: told() == 0, 30.0, world.describe)
    replace(world.secret_file, f"{'m' * 32}\n")  # other tests start processes with it
    eventually(lambda: told() == 1, 30.0, world.describe)


@pytest.mark.shows("USER_TOKEN_SECRETS", "BROWSER_CATALOGUE_ONLY", "BROWSER_REQUESTS_PER_MINUTE")
def test_a_user_of_a_signed_token_sends_so_many_events_of_any_item(world: World) -> None:
    token = sign("dora", USER_SECRET, now_sec=time.time(), life_sec=60)
    event = {"session_id": "s1", "item_id": "not-in-the-catalogue", "event_type": "view"}
    who = {"x-api-key": BROWSER_TOKEN, "x-user-token": token}
    with httpx.Client(base_url=world.service.url, headers=who) as client:
        assert client.post("/log/batch", json=[event] * 30).json()["accepted"] == 30
        refused = client.get("/reco")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 0 < int(refused.headers["retry-after"]) <= 120


@pytest.mark.shows("RATE_LIMIT_REQUESTS", "RATE_LIMIT_WINDOW_SEC")
def test_a_key_may_make_its_requests_and_no_more(world: World) -> None:
    with httpx.Client(base_url=world.service.url, headers={"x-api-key": READ_TOKEN}) as client:
        answers = [client.get("/contract") for _ in range(1005)]
    assert answers[0].headers["RateLimit-Limit"] == "1000"
    assert int(answers[0].headers["RateLimit-Reset"]) > 1000
    statuses = [answer.status_code for answer in answers]
    assert statuses[-1] == 429
    assert statuses.count(200) <= 1000


def replace(file: Path, content: str) -> None:
    """As an editor or Kubernetes does it: a new file under the same name."""
    fresh = file.with_suffix(".new")
    fresh.write_text(content)
    os.replace(fresh, file)
