"""For tests of an application: a client whose requests end in memory, and what it sent.

recorder = Recorder()
recorder.recommendations["user-17"] = ["tent", "stove"]
with recorder.client() as client:
    show(client.recommend("user-17"))
    client.flush()
assert [event.item_id for event in recorder.events] == ["tent"]
"""

import gzip
from collections import deque
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec

from reco_client.aio import AsyncClient
from reco_client.buffer import decode_event
from reco_client.delivery import Options
from reco_client.models import (
    CatalogueBatchItem,
    CatalogueItem,
    CatalogueItemInput,
    Event,
    ItemList,
    RankedList,
    RecommendationList,
    RecommendedItem,
)
from reco_client.sync import Client

_LISTS = ("reco", "similar", "popular")


class Recorder:
    """Answers as a service with nothing but what the test puts into it.

    `events`: those that were sent, each once. `recommendations`: the items of `recommend` by user, `similar` by item;
    `popular`. `items`: the catalogue by id. `attributes`: the declared types by name.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.recommendations: dict[str, list[str]] = {}
        self.similar: dict[str, list[str]] = {}
        self.popular: list[str] = []
        self.items: dict[str, CatalogueItem] = {}
        self.attributes: dict[str, str] = {}
        self._seen: dict[str, Event] = {}
        self._failures: deque[tuple[int | None, int]] = deque()

    def client(self, options: Options | None = None) -> Client:
        return Client("http://recorder", None, options, transport=httpx.MockTransport(self._answer))

    def async_client(self, options: Options | None = None) -> AsyncClient:
        return AsyncClient("http://recorder", None, options, transport=httpx.MockTransport(self._answer))

    def fail(self, status: int | None, *, times: int = 1, retry_after_sec: int = 0) -> None:
        """The next requests fail with this status; None: without an answer."""
        self._failures.extend([(status, retry_after_sec)] * times)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self._failures:
            status, retry_after_sec = self._failures.popleft()
            if status is None:
                raise httpx.ConnectError("the recorder was told to fail", request=request)
            return _problem(status, "The recorder was told to fail.", {"retry-after": str(retry_after_sec)})
        first, *rest = [unquote(part) for part in request.url.raw_path.partition(b"?")[0].decode()[1:].split("/")]
        if request.method == "POST" and first in ("reco", "rank"):
            return self._posted(first, msgspec.json.decode(request.content))
        if first in _LISTS:
            return self._list(first, request.url.params["user_id"] if first == "reco" else (rest or [""])[0])
        if first == "attributes":
            return self._attribute(request, rest)
        return self._batch(request) if first == "log" else self._catalogue(request, rest)

    def _attribute(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(
                200, json={"attributes": [{"name": n, "type": t} for n, t in self.attributes.items()]}
            )
        if request.method == "DELETE":
            found = self.attributes.pop(rest[0], None)
            return httpx.Response(204) if found else _problem(404, "There is no such attribute.", {})
        self.attributes[rest[0]] = msgspec.json.decode(request.content, type=dict[str, str])["type"]
        return httpx.Response(200, json={"name": rest[0], "type": self.attributes[rest[0]]})

    def _batch(self, request: httpx.Request) -> httpx.Response:
        body = request.content
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        events = map(decode_event, body.split(b"\n"))
        results = [{"event_id": event.event_id, "status": self._take(event)} for event in events]
        statuses = [result["status"] for result in results]
        counts = {status: statuses.count(status) for status in ("accepted", "duplicate", "conflict", "invalid")}
        return httpx.Response(200, json={**counts, "results": results})

    def _take(self, event: Event) -> str:
        known = self._seen.setdefault(str(event.event_id), event)
        if known is event:
            self.events.append(event)
            return "accepted"
        return "duplicate" if known == event else "conflict"

    def _posted(self, name: str, body: dict[str, Any]) -> httpx.Response:
        """Ranks items in the order of the user's recommendations, and then in their own."""
        if name == "reco":
            return self._list(name, body.get("user_id") or "")
        known = self.recommendations.get(body.get("user_id") or "", [])
        wanted: list[str] = body["items"]
        ranked = [*(item_id for item_id in known if item_id in wanted), *(one for one in wanted if one not in known)]
        return _json(RankedList(request_id="recorded", items=_places(ranked), left_out=[], model_version="recorder"))

    def _list(self, name: str, of: str) -> httpx.Response:
        ids = {"reco": self.recommendations.get(of, []), "similar": self.similar.get(of, []), "popular": self.popular}
        items = _places(ids[name])
        return _json(
            RecommendationList(request_id="recorded", items=items, model_version="recorder", strategy="popular")
        )

    def _catalogue(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        if not rest and request.method == "GET":
            return _json(ItemList(items=[*self.items.values()]))
        if not rest:
            body = msgspec.json.decode(request.content, type=dict[str, list[CatalogueBatchItem]])
            new = [item for item in body["items"] if str(item.item_id) not in self.items]
            for item in body["items"]:
                self._store(str(item.item_id), item)
            return httpx.Response(200, json={"created": len(new), "replaced": len(body["items"]) - len(new)})
        item_id = rest[0]
        if request.method == "PUT":
            created = item_id not in self.items
            self._store(item_id, msgspec.json.decode(request.content, type=CatalogueItemInput))
            return _json(self.items[item_id], 201 if created else 200)
        if item_id not in self.items:
            return _problem(404, "No such item.", {})
        if request.method == "DELETE":
            del self.items[item_id]
            return httpx.Response(204)
        if request.method == "PATCH":
            self._patch(item_id, msgspec.json.decode(request.content))
        return _json(self.items[item_id])

    def _patch(self, item_id: str, changes: dict[str, Any]) -> None:
        fields = msgspec.to_builtins(self.items[item_id])
        attributes = fields["attributes"] | changes.get("attributes", {})
        fields |= changes
        fields["attributes"] = {name: value for name, value in attributes.items() if value is not None}
        self.items[item_id] = msgspec.convert(fields, CatalogueItem)

    def _store(self, item_id: str, item: CatalogueItemInput | CatalogueBatchItem) -> None:
        fields: dict[str, Any] = msgspec.structs.asdict(item) | {"item_id": item_id, "updated_at": datetime.now(UTC)}
        self.items[item_id] = CatalogueItem(**fields)


def _places(item_ids: list[str]) -> list[RecommendedItem]:
    return [RecommendedItem(item_id=item_id, score=1.0, source="popular") for item_id in item_ids]


def _json(body: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=msgspec.json.encode(body), headers={"content-type": "application/json"})


def _problem(status: int, detail: str, headers: dict[str, str]) -> httpx.Response:
    body = {"title": "Problem", "status": status, "detail": detail, "request_id": "recorded"}
    return httpx.Response(status, json=body, headers=headers)
