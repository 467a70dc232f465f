"""The console's files, and sessions in a cookie."""

import re

import httpx

from app.core import keys
from app.settings import Settings
from tests.support.api import serving

READ, READ_TOKEN = keys.make("viewer", ["read"], "r" * 43)
ADMIN, ADMIN_TOKEN = keys.make("ops", ["admin"], "a" * 43)
ENTRIES = (READ.entry(), ADMIN.entry())
OWN_PAGE = {"x-reco-console": "1"}


async def sign_in(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/console/session", json={"key": token}, headers=OWN_PAGE)


async def test_page_and_files_allow_no_script_but_their_own(settings: Settings) -> None:
    async with serving(settings, api_keys=ENTRIES) as client:
        page = await client.get("/console")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert "; img-src 'self' https:;" in policy
        assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|https?:", page.text)
        for path in re.findall(r'(?:href|src)="(console/[^"]+)"', page.text):
            file = await client.get(f"/{path}")
            assert file.status_code == 200, path
            again = await client.get(f"/{path}", headers={"if-none-match": file.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        assert (await client.get("/console/none.js")).status_code == 404
        assert "/console" not in "".join((await client.get("/openapi.json")).json()["paths"])


async def test_session_does_what_its_key_may(settings: Settings) -> None:
    async with serving(settings, api_keys=ENTRIES) as client:
        assert (await client.get("/console/session")).json() == {"keys": True, "name": None, "scopes": []}
        refused = await sign_in(client, "viewer.guess")
        assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)
        answer = await sign_in(client, READ_TOKEN)
        assert answer.json() == {"keys": True, "name": "viewer", "scopes": ["read"]}
        cookie = answer.headers["set-cookie"]
        assert READ_TOKEN not in cookie
        assert "HttpOnly; SameSite=Strict" in cookie
        assert (await client.get("/console/session")).json()["name"] == "viewer"
        assert (await client.get("/model")).status_code == 200
        assert (await client.get("/users/ann")).status_code == 403
        assert (await client.get("/model", headers={"x-api-key": "viewer.guess"})).status_code == 401
        assert (await client.delete("/console/session", headers=OWN_PAGE)).json()["name"] is None
        assert (await client.get("/model")).status_code == 401


async def test_change_by_a_page_of_another_site_is_refused(settings: Settings) -> None:
    """A browser does not send the cookie there; should it, the header is missing that no other site can send."""
    async with serving(settings, api_keys=ENTRIES, cors_allow_origins=("https://shop.example",)) as client:
        assert (await client.post("/console/session", json={"key": ADMIN_TOKEN})).status_code == 403
        await sign_in(client, ADMIN_TOKEN)
        item = {"title": "A tent"}
        refused = await client.put("/items/tent", json=item)
        assert (refused.status_code, "X-Reco-Console" in refused.json()["detail"]) == (403, True)
        assert (await client.put("/items/tent", json=item, headers=OWN_PAGE)).status_code == 201
        asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
        preflight = await client.options(
            "/event", headers={**asked, "access-control-request-headers": "X-Reco-Console"}
        )
        assert preflight.status_code == 400


async def test_page_of_another_session_than_the_browsers_does_nothing(settings: Settings) -> None:
    """Somebody signed in as another in another tab."""
    async with serving(settings, api_keys=ENTRIES) as client:
        await sign_in(client, ADMIN_TOKEN)
        theirs = {**OWN_PAGE, "x-reco-console-key": "viewer"}
        for method, path in (("GET", "/model"), ("PUT", "/items/tent"), ("POST", "/dead-letters/replay")):
            refused = await client.request(method, path, json={}, headers=theirs)
            assert (refused.status_code, refused.json()["code"]) == (401, "other_session"), path
        assert (await client.get("/model", headers={**theirs, "x-api-key": READ_TOKEN})).status_code == 200
        own = {**OWN_PAGE, "x-reco-console-key": "ops"}
        assert (await client.put("/items/tent", json={"title": "A tent"}, headers=own)).status_code == 201


async def test_form_of_another_site_changes_nothing_where_no_key_is_needed(settings: Settings) -> None:
    form = {"origin": "https://elsewhere.example", "content-type": "text/plain"}
    refused = set()
    async with serving(settings) as client:
        for path, operations in (await client.get("/openapi.json")).json()["paths"].items():
            if "post" not in operations:
                continue
            target = re.sub(r"\{\w+\}", "one", path)
            answer = await client.post(target, content=b"{}", headers=form)
            if answer.json().get("code") == "other_site":
                refused.add(path)
                for allowed in ({"content-type": "application/json"}, {"origin": str(client.base_url).rstrip("/")}):
                    again = await client.post(target, content=b"{}", headers={**form, **allowed})
                    assert again.json().get("code") != "other_site", (path, allowed)
            else:
                ways = operations["post"].get("security", [])
                scopes = {scope for way in ways for named in way.values() for scope in named}
                assert scopes <= {"write", "read", "browser"}, path
    assert {"/dead-letters/discard", "/model/promote", "/rules:undo", "/experiments", "/items:delete"} <= refused


async def test_session_holds_in_another_process_and_ends_with_its_key(settings: Settings) -> None:
    async with serving(settings, api_keys=ENTRIES) as client:
        answer = await sign_in(client, READ_TOKEN)
        kept = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
        for told in ("https", "https, http"):
            secured = await client.post(
                "/console/session", json={"key": READ_TOKEN}, headers={**OWN_PAGE, "x-forwarded-proto": told}
            )
            assert secured.headers["set-cookie"].endswith("; Secure"), told
    async with serving(settings, api_keys=ENTRIES) as client:
        assert (await client.get("/model", headers=kept)).status_code == 200
        assert (await client.get("/model", headers={"cookie": "reco_console=viewer.9.forged"})).status_code == 401
        assert (await client.get("/model", headers={"cookie": "reco_console=\x22a; =;;"})).status_code == 401
    async with serving(settings, api_keys=(ADMIN.entry(),)) as client:
        assert (await client.get("/model", headers=kept)).status_code == 401


async def test_session_is_found_among_the_cookies_of_others(settings: Settings) -> None:
    """Of other services of the same host, and of a proxy that signs people in."""
    others = ('prefs={"theme": "dark"}', "path=/", "flag", "=", "other_reco_console=x", f"_proxy={'p' * 6000}")
    async with serving(settings, api_keys=ENTRIES) as client:
        session = (await sign_in(client, READ_TOKEN)).headers["set-cookie"].partition(";")[0]
        client.cookies.clear()
        for other in others:
            for sent in (f"{other}; {session}", f"{session}; {other}"):
                told = await client.get("/console/session", headers={"cookie": sent})
                assert told.json()["name"] == "viewer", other[:20]


async def test_no_sign_in_is_needed_without_keys(settings: Settings) -> None:
    async with serving(settings) as client:
        everything = [scope for scope in keys.SCOPES if scope not in ("admin", "browser")]
        told = {"keys": False, "name": None, "scopes": everything}
        assert (await client.get("/console/session")).json() == told
        assert (await sign_in(client, "any")).json() == told
