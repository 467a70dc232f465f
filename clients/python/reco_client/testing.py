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
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec

from reco_client.aio import AsyncClient
from reco_client.buffer import decode_event
from reco_client.delivery import Options
from reco_client.models import CatalogueItem, Event, RankedList, RecommendationList, RecommendedItem
from reco_client.recorded_items import RecordedItems, answer_of, problem_of
from reco_client.sync import Client


class Recorder:
    """Answers as a service with nothing but what the test puts into it.

    `events`: those that were sent, each once. Lists of items: `recommendations`, `recent` and `buy_again` by user,
    `similar` and `bought_together` by item; `popular` and `trending`. `identified`: the user by anonymous id. `items`:
    the catalogue by id. `attributes`: the declared types by name.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.recommendations: dict[str, list[str]] = {}
        self.recent: dict[str, list[str]] = {}
        self.buy_again: dict[str, list[str]] = {}
        self.similar: dict[str, list[str]] = {}
        self.bought_together: dict[str, list[str]] = {}
        self.popular: list[str] = []
        self.trending: list[str] = []
        self.identified: dict[str, str] = {}
        self._catalogue = RecordedItems()
        self._seen: dict[str, Event] = {}
        self._failures: deque[tuple[int | None, int]] = deque()

    @property
    def items(self) -> dict[str, CatalogueItem]:
        return self._catalogue.items

    @property
    def attributes(self) -> dict[str, str]:
        return self._catalogue.attributes

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
            return problem_of(status, "The recorder was told to fail.", {"retry-after": str(retry_after_sec)})
        path = request.url.raw_path.partition(b"?")[0].decode()[1:]
        match [unquote(part) for part in path.split("/")]:
            case ["log", "batch"]:
                return self._batch(request)
            case ["items", *rest]:
                return self._catalogue.answer(request, rest)
            case ["attributes", *rest]:
                return self._catalogue.answer_attributes(request, rest)
            case ["users", user_id, "merge"]:
                self.identified[msgspec.json.decode(request.content)["anonymous_id"]] = user_id
                return answer_of({})
            case ["rank"]:
                return self._rank(msgspec.json.decode(request.content))
            case parts:
                found = self._items_of(request, parts)
                return problem_of(404, "There is no such call.") if found is None else answer_of(_list_of(found))

    def _items_of(self, request: httpx.Request, parts: list[str]) -> list[str] | None:
        match parts:
            case ["reco"] if request.method == "POST":
                return self.recommendations.get(msgspec.json.decode(request.content).get("user_id") or "", [])
            case ["reco"]:
                return self.recommendations.get(request.url.params["user_id"], [])
            case ["users", user_id, "recent"]:
                return self.recent.get(user_id, [])
            case ["users", user_id, "buy-again"]:
                return self.buy_again.get(user_id, [])
            case ["similar", item_id]:
                return self.similar.get(item_id, [])
            case ["bought-together", item_id]:
                return self.bought_together.get(item_id, [])
            case ["trending"]:
                return self.trending
            case ["popular"]:
                return self.popular
            case _:
                return None

    def _batch(self, request: httpx.Request) -> httpx.Response:
        body = request.content
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        events = map(decode_event, body.split(b"\n"))
        results = [{"event_id": event.event_id, "status": self._take(event)} for event in events]
        statuses = [result["status"] for result in results]
        counts = {status: statuses.count(status) for status in ("accepted", "duplicate", "conflict", "invalid")}
        return answer_of({**counts, "results": results})

    def _take(self, event: Event) -> str:
        known = self._seen.setdefault(str(event.event_id), event)
        if known is event:
            self.events.append(event)
            return "accepted"
        return "duplicate" if known == event else "conflict"

    def _rank(self, body: dict[str, Any]) -> httpx.Response:
        """Ranks items in the order of the user's recommendations, and then in their own."""
        known = self.recommendations.get(body.get("user_id") or "", [])
        wanted: list[str] = body["items"]
        ranked = [*(item_id for item_id in known if item_id in wanted), *(one for one in wanted if one not in known)]
        places = _places(ranked)
        return answer_of(RankedList(request_id="recorded", items=places, left_out=[], model_version="recorder"))


def _list_of(items: list[str]) -> RecommendationList:
    return RecommendationList(request_id="recorded", items=_places(items), model_version="recorder", strategy="popular")


def _places(item_ids: list[str]) -> list[RecommendedItem]:
    return [RecommendedItem(item_id=item_id, score=1.0, source="popular") for item_id in item_ids]
