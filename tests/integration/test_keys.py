"""Who may call what: keys, scopes, rotation, browsers."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from app.cli import main
from app.core import keys
from app.errors import UserError
from app.settings import Settings
from tests.support.api import serving, watch

WRITE, WRITE_TOKEN = keys.make("shop", ["write"], "w" * 43)
READ, READ_TOKEN = keys.make("front", ["read"], "r" * 43)
ADMIN, ADMIN_TOKEN = keys.make("ops", ["admin"], "a" * 43)
VISITOR = "v" * 22
ENTRIES = (WRITE.entry(), READ.entry(), ADMIN.entry())


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def post(client: httpx.AsyncClient, headers: dict[str, str], path: str = "/log/watch") -> httpx.Response:
    return await client.post(path, json=watch(), headers=headers)


async def test_a_call_needs_a_key_of_its_scope(settings: Settings) -> None:
    async with serving(settings, api_keys=ENTRIES) as client:
        missing = await post(client, {})
        assert missing.status_code == 401
        assert missing.headers["www-authenticate"].startswith("Bearer")
        assert missing.headers["content-type"] == "application/problem+json"
        assert (await post(client, bearer("shop.guess"))).status_code == 401
        assert (await post(client, {"authorization": f"Basic {WRITE_TOKEN}"})).status_code == 401
        assert (await post(client, bearer(WRITE_TOKEN))).status_code == 202
        assert (await post(client, {"x-api-key": WRITE_TOKEN})).status_code == 202
        assert (await post(client, bearer(ADMIN_TOKEN))).status_code == 202
        refused = await post(client, bearer(READ_TOKEN))
        assert (refused.status_code, "write" in refused.json()["detail"]) == (403, True)
        for path in ("/reco?user_id=ann", "/popular", "/contract", "/analytics/baseline"):
            assert (await client.get(path, headers=bearer(READ_TOKEN))).status_code == 200
            assert (await client.get(path, headers=bearer(WRITE_TOKEN))).status_code == 403
        assert (await client.delete("/users/ann", headers=bearer(WRITE_TOKEN))).status_code == 403
        assert (await client.delete("/users/ann", headers=bearer(ADMIN_TOKEN))).status_code == 200
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
            assert (await client.get(path)).status_code == 200


async def test_each_scope_opens_its_own_calls_and_admin_all(settings: Settings) -> None:
    made = {scope: keys.make(scope, [scope], scope * 22) for scope in keys.SCOPES}
    entries = tuple(key.entry() for key, _ in made.values())
    opened: dict[str, set[str]] = {scope: set() for scope in keys.SCOPES}
    async with serving(settings, api_keys=entries) as client:
        document = (await client.get("/openapi.json")).json()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if "security" not in operation:
                    continue
                named = {role for way in operation["security"] for roles in way.values() for role in roles}
                assert len(named - {"browser"}) == 1
                target = (
                    path.replace("{item_id}", "i")
                    .replace("{user_id}", "u")
                    .replace("{rule_id}", "r")
                    .replace("{row_id}", "1")
                    .replace("{name}", "n")
                )
                for scope, (_, token) in made.items():
                    headers = {**bearer(token), "x-visitor-id": VISITOR}
                    answer = await client.request(method, target, headers=headers)
                    lacks = answer.status_code == 403 and answer.json()["code"] == "missing_scope"
                    assert lacks == (scope not in (*named, "admin")), (method, path, scope)
                for scope in named:
                    opened[scope].add(f"{method} {path}")
        variant = "/reco?user_id=ann&variant=control"
        for scope, (_, token) in made.items():
            headers = {**bearer(token), "x-visitor-id": VISITOR}
            status = (await client.get(variant, headers=headers)).status_code
            assert (status == 403) == (scope != "admin"), scope
    assert opened["catalogue"] == {
        "put /items/{item_id}",
        "delete /items/{item_id}",
        "post /items",
        "put /rules/{rule_id}",
        "delete /rules/{rule_id}",
        "post /rules:undo",
        "patch /items/{item_id}",
        "post /items:delete",
        "put /attributes/{name}",
        "delete /attributes/{name}",
        "put /event-types/{name}",
        "delete /event-types/{name}",
    }
    assert opened["users"] == {
        "get /users",
        "get /users/{user_id}",
        "delete /users/{user_id}",
        "post /users/{user_id}/merge",
        "delete /users/{user_id}/merge",
    }
    assert opened["browser"] == {
        "post /event",
        "post /log/watch",
        "post /log/impression",
        "post /log/batch",
        "get /reco",
        "post /reco",
        "post /rank",
        "get /similar/{item_id}",
        "get /popular",
        "get /trending",
        "get /bought-together/{item_id}",
        "get /users/{user_id}/recent",
        "get /users/{user_id}/buy-again",
    }
    assert opened["admin"] == set()


async def test_no_call_is_left_unguarded(settings: Settings) -> None:
    """A call that is added later is in the document, and so in this test."""
    open_to_all = {"/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"}
    async with serving(settings, api_keys=ENTRIES) as client:
        document = (await client.get("/openapi.json")).json()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                target = path.replace("{item_id}", "i").replace("{user_id}", "u")
                status = (await client.request(method, target)).status_code
                assert (status == 401) == (path not in open_to_all), (method, path)
                assert ("security" in operation) == (path not in open_to_all)
                assert ("401" in operation["responses"]) == (path not in open_to_all)


async def test_keys_rotate_without_a_restart(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# keys\n{WRITE.entry()}\n")
    other, other_token = keys.make("shop", ["write"], "o" * 43)
    async with serving(settings, api_keys_file=str(file)) as client:
        assert (await post(client, bearer(WRITE_TOKEN))).status_code == 202
        assert (await post(client, bearer(other_token))).status_code == 401

        replace(file, f"{WRITE.entry()}\n{other.entry()}\n")
        await until(client, other_token, 202)
        assert (await post(client, bearer(WRITE_TOKEN))).status_code == 202

        replace(file, other.entry())
        await until(client, WRITE_TOKEN, 401)

        # A file that is broken, empty or gone changes nothing.
        for content in ("nonsense", "", None):
            replace(file, content)
            await failing_check(client)
            assert (await post(client, bearer(other_token))).status_code == 202
            replace(file, other.entry() + "\n" * (len(content or "x") + 3))


async def until(client: httpx.AsyncClient, token: str, status: int) -> None:
    """Asks seldom: an address that sends many wrong keys is limited."""
    async with asyncio.timeout(30):
        while (await post(client, bearer(token))).status_code != status:
            await asyncio.sleep(0.1)


async def failing_check(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while 'reco_api_check_status{check="file",scope="keys"} 0.0' not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.01)
            await client.get("/popular")  # a call that looks at the keys


def replace(file: Path, content: str | None) -> None:
    """As an editor or Kubernetes does it: a new file under the same name."""
    if content is None:
        file.unlink()
        return
    fresh = file.with_suffix(".new")
    fresh.write_text(content)
    os.replace(fresh, file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"API_KEYS": ""}, "API_KEYS"),
        ({"API_KEYS": "shop:write:mysecret"}, "entry 1"),
        ({"API_KEYS_FILE": "/does/not/exist"}, "API_KEYS_FILE"),
        ({"API_KEYS_FILE": os.devnull}, "no key"),
    ],
)
async def test_production_does_not_start_without_good_keys(
    environment: dict[str, str], changes: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        async with serving(Settings.from_env({**environment, "APP_ENV": "production", **changes})):
            pass
    assert "mysecret" not in str(caught.value)


@pytest.mark.shows("reco key new")
def test_reco_key_new_prints_the_token_and_the_entry_apart() -> None:
    made = CliRunner().invoke(main, ["key", "new", "shop", "--scope", "write", "--scope", "read"])
    assert made.exit_code == 0
    (key,) = keys.parse([made.stdout]).keys["shop"]
    token = next(line for line in made.stderr.splitlines() if line.startswith("shop."))
    assert keys.parse([made.stdout]).find(token) == key
    assert key.scopes == {"write", "read"}
    assert "admin" not in made.stderr
    everything = CliRunner().invoke(main, ["key", "new", "ops", "--scope", "admin"])
    assert "admin stands for all scopes (write, read, catalogue, users, operate)" in everything.stderr
    again = CliRunner().invoke(main, ["key", "new", "shop"])
    assert again.stdout != made.stdout


async def test_a_beacon_brings_its_key_in_the_query_where_that_is_allowed(settings: Settings) -> None:
    beacon = {"content-type": "text/plain;charset=UTF-8"}
    batch = [{"event_type": "watch", **watch()}]
    path = f"/log/batch?key={WRITE_TOKEN}"
    async with serving(settings, api_keys=ENTRIES, api_keys_in_query=True) as client:
        assert (await client.post(path, json=batch, headers=beacon)).status_code == 200
        assert (await client.post("/log/batch?key=shop.guess", json=batch, headers=beacon)).status_code == 401
        assert (await client.post(f"/log/watch?key={WRITE_TOKEN}", json=watch())).status_code == 401
        assert (await client.delete(f"/users/ann?key={ADMIN_TOKEN}")).status_code == 401
    async with serving(settings, api_keys=ENTRIES) as client:
        assert (await client.post(path, json=batch, headers=beacon)).status_code == 401


async def test_browsers_of_listed_origins_only(settings: Settings) -> None:
    shop = {"origin": "https://shop.example"}
    async with serving(settings, api_keys=ENTRIES, cors_allow_origins=("https://shop.example",)) as client:
        asked = {**shop, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        preflight = await client.options("/log/watch", headers=asked)
        assert preflight.status_code in (200, 204)
        assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
        assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
        answered = await post(client, {**bearer(WRITE_TOKEN), **shop})
        assert answered.headers["access-control-allow-origin"] == "https://shop.example"
        assert "x-request-id" in answered.headers["access-control-expose-headers"].lower()
        refused = await post(client, shop)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://shop.example"
        stranger = await post(client, {**bearer(WRITE_TOKEN), "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers
