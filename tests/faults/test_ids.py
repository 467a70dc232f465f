"""Ids with slashes, dots, percent signs and broken UTF-8 in paths: each reaches itself and no other."""

import socket
from typing import Final

import httpx
import pytest

from tests.support.service import Service, eventually, running

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


def test_unencoded_ids_reach_nobody(environment: dict[str, str]) -> None:
    """What a client sends for the ids `bob?`, `bob?x`, `bob#`, `bob#x`, `bob%` and `bob%2` when it encodes nothing."""
    with running({**environment, "ROLE": "api"}) as api:
        for kind, body in (("items", {}), ("rules", {"action": "boost", "item_id": "bob", "factor": 2.0})):
            assert call(api, "PUT", kind, "bob", json=body).status_code == 201
        event = {"user_id": "bob", "session_id": "s", "item_id": "bob", "event_type": "view"}
        assert api.client.post("/event", json=event).status_code == 202
        for kind in ("items", "rules", "users"):
            for method in ("GET", "PUT", "DELETE"):
                found = {raw_call(api, method, f"/{kind}/bob{end}") for end in ("?x", "#", "#x", "%", "%2")}
                assert found <= {400, 405, 422}
            assert call(api, "GET", kind, "bob").status_code == 200


def test_ids_with_commas_are_left_out_alone(environment: dict[str, str]) -> None:
    with running({**environment, "ROLE": "api"}) as api:
        for name in ("a", "b", "a,b", ","):
            assert call(api, "PUT", "items", name, json={}).status_code == 201

        def left(query: str) -> set[str]:
            return {item["item_id"] for item in api.client.get(f"/reco?user_id=zoe&{query}").json()["items"]}

        eventually(lambda: left("k=9") == {"a", "b", "a,b", ","}, describe=api.describe)
        assert left("exclude_id=a%2Cb") == {"a", "b", ","}
        assert left("exclude_id=a,b&exclude_id=,") == {"a", "b"}
        assert left("exclude=a,b") == left("exclude=a%2Cb") == left("exclude=a&exclude=b") == {"a,b", ","}
        assert left("exclude=a&exclude_id=a,b") == {"b", ","}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_broken_utf_8_reaches_nobody(environment: dict[str, str], method: str) -> None:
    with running({**environment, "ROLE": "api"}) as api:
        event = {"user_id": "\ufffd", "session_id": "s", "item_id": "alien", "event_type": "view"}
        assert api.client.post("/event", json=event).status_code == 202
        broken = httpx.URL(api.url, raw_path=b"/users/%FF")
        assert api.client.request(method, broken).status_code == 422
        if method == "GET":
            assert raw_call(api, method, "/reco?user_id=%FF") == raw_call(api, method, "/reco?user_id=%ED%A0%80") == 422
        assert call(api, "GET", "users", "\ufffd").status_code == 200


def call(api: Service, method: str, kind: str, name: str, **body: object) -> httpx.Response:
    """With every byte of the id encoded: clients resolve `..` before they send a path."""
    encoded = "".join(f"%{byte:02X}" for byte in name.encode())
    return api.client.request(method, httpx.URL(api.url, raw_path=f"/{kind}/{encoded}".encode()), **body)


def raw_call(api: Service, method: str, target: str) -> int:
    """The status of a request for exactly this target, which clients would correct."""
    with socket.create_connection(("127.0.0.1", int(api.environment["HTTP_PORT"])), timeout=10) as connection:
        head = f"{method} {target} HTTP/1.1\r\nHost: reco\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
        connection.sendall(head.encode())
        return int(connection.makefile("rb").readline().split()[1])
