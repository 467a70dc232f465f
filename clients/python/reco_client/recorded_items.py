"""The catalogue of a `Recorder`: answers the calls about items and attributes from memory."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import httpx
import msgspec

from reco_client.models import CatalogueBatchItem, CatalogueItem, CatalogueItemInput, ItemList


class RecordedItems:
    """`items`: by id. `attributes`: the declared types by name."""

    def __init__(self) -> None:
        self.items: dict[str, CatalogueItem] = {}
        self.attributes: dict[str, str] = {}

    def answer_attributes(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        if request.method == "GET":
            return answer_of({"attributes": [{"name": n, "type": t} for n, t in self.attributes.items()]})
        if request.method == "DELETE":
            found = self.attributes.pop(rest[0], None)
            return httpx.Response(204) if found else problem_of(404, "There is no such attribute.")
        self.attributes[rest[0]] = msgspec.json.decode(request.content, type=dict[str, str])["type"]
        return answer_of({"name": rest[0], "type": self.attributes[rest[0]]})

    def answer(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        if not rest:
            return answer_of(ItemList(items=[*self.items.values()])) if request.method == "GET" else self._many(request)
        item_id, headers = rest[0], request.headers
        there = item_id in self.items
        if not there and request.method != "PUT":
            return problem_of(404, "No such item.")
        if "if-match" in headers and not (there and headers["if-match"] == _etag(self.items[item_id])):
            return problem_of(412, "Another state than the one of If-Match.")
        if there and headers.get("if-none-match") == "*":
            return problem_of(412, "There is such an item.")
        change: Callable[[str, bytes], None] | None = {
            "PUT": self._put,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }.get(request.method)
        if change is not None:
            change(item_id, request.content)
        if item_id not in self.items:
            return httpx.Response(204)
        item = self.items[item_id]
        return answer_of(item, 200 if there else 201, {"etag": _etag(item)})

    def _many(self, request: httpx.Request) -> httpx.Response:
        items = msgspec.json.decode(request.content, type=dict[str, list[CatalogueBatchItem]])["items"]
        created = len({str(item.item_id) for item in items} - self.items.keys())
        for item in items:
            self._store(str(item.item_id), item)
        return answer_of({"created": created, "replaced": len(items) - created})

    def _put(self, item_id: str, body: bytes) -> None:
        self._store(item_id, msgspec.json.decode(body, type=CatalogueItemInput))

    def _patch(self, item_id: str, body: bytes) -> None:
        changes = msgspec.json.decode(body)
        fields = msgspec.to_builtins(self.items[item_id])
        attributes = fields["attributes"] | changes.get("attributes", {})
        fields |= changes
        fields["attributes"] = {name: value for name, value in attributes.items() if value is not None}
        fields["updated_at"] = datetime.now(UTC)
        self.items[item_id] = msgspec.convert(fields, CatalogueItem)

    def _delete(self, item_id: str, body: bytes) -> None:
        del self.items[item_id]

    def _store(self, item_id: str, item: CatalogueItemInput | CatalogueBatchItem) -> None:
        fields: dict[str, Any] = msgspec.structs.asdict(item) | {"item_id": item_id, "updated_at": datetime.now(UTC)}
        self.items[item_id] = CatalogueItem(**fields)


def answer_of(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """An answer with this body as JSON."""
    content = msgspec.json.encode(body)
    return httpx.Response(status, content=content, headers={"content-type": "application/json", **(headers or {})})


def problem_of(status: int, detail: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """An answer that is an error, as the service makes it."""
    body = {"title": "Problem", "status": status, "detail": detail, "request_id": "recorded"}
    return httpx.Response(status, json=body, headers=headers)


def _etag(item: CatalogueItem) -> str:
    return f'"{sha256(msgspec.json.encode(item)).hexdigest()[:16]}"'
