"""Ids with slashes, dots, percent signs and broken UTF-8 in paths: each reaches itself and no other."""

from typing import Final

import httpx
import pytest

from tests.support.service import Service, running

_IDS: Final = ("bob", "/bob", "bob/", "//bob", "a//b", "a/../b", "..", ".", "%", "%2F", "%2525", "a b", "é", "?", "#")


def test_awkward_ids_reach_themselves_and_no_other(environment: dict[str, str]) -> None:
    with running({**environment, "ROLE": "api"}) as api:
        for name in _IDS:
            assert call(api, "PUT", "items", name, json={"title": f"title of {name}"}).status_code == 201
            event = {"user_id": name, "session_id": "s", "item_id": name, "event_type": "view"}
            assert api.client.post("/event", json=event).status_code == 202
        for name in _IDS:
            assert call(api, "GET", "items", name).json()["title"] == f"title of {name}"
            assert call(api, "GET", "users", name).status_code == 200
        for number, name in enumerate(_IDS, start=1):
            assert call(api, "DELETE", "items", name).status_code == 204
            assert call(api, "DELETE", "users", name).json()["events"] == 1
            for kind in ("items", "users"):
                found = [call(api, "GET", kind, other).status_code for other in _IDS]
                assert found == [404] * number + [200] * (len(_IDS) - number)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_broken_utf_8_reaches_nobody(environment: dict[str, str], method: str) -> None:
    with running({**environment, "ROLE": "api"}) as api:
        event = {"user_id": "\ufffd", "session_id": "s", "item_id": "alien", "event_type": "view"}
        assert api.client.post("/event", json=event).status_code == 202
        broken = httpx.URL(api.url, raw_path=b"/users/%FF")
        assert api.client.request(method, broken).status_code == 422
        assert call(api, "GET", "users", "\ufffd").status_code == 200


def call(api: Service, method: str, kind: str, name: str, **body: object) -> httpx.Response:
    """With every byte of the id encoded: clients resolve `..` before they send a path."""
    encoded = "".join(f"%{byte:02X}" for byte in name.encode())
    return api.client.request(method, httpx.URL(api.url, raw_path=f"/{kind}/{encoded}".encode()), **body)
