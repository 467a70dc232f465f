"""What is asked of the service and how its answers are read: the same for both clients."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct

from reco_client.models import (
    CatalogueBatchItem,
    CatalogueBatchResult,
    CatalogueItem,
    CatalogueItemInput,
    ItemList,
    Problem,
    RankedList,
    RecommendationList,
)

# The service did not do it, or a proxy does not know whether it did. Every call may be made twice.
RETRIED: Final = frozenset({408, 429, 502, 503, 504})
_STATE_CHANGED: Final = 412
_MAX_RETRY_AFTER_SEC: Final = 300.0
# What a URL cannot say, and how many ids make it too long.
_POSTED: Final = frozenset({"history", "candidates", "context"})
_MAX_IN_URL: Final = 100

_T = TypeVar("_T")


class ApiError(Exception):
    """An answer that is an error. `problem` is its body, where it is one of the service's own."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.problem: Problem | None = None
        with suppress(msgspec.DecodeError):
            self.problem = msgspec.json.decode(response.content, type=Problem)
        self.retry_after_sec = _retry_after_sec(response.headers.get("retry-after"))
        errors = "".join(f" {error.path}: {error.message}." for error in self.problem.errors) if self.problem else ""
        super().__init__(f"{self.status}: {self.problem.detail if self.problem else response.text[:200]}{errors}")

    @property
    def may_be_retried(self) -> bool:
        return self.status in RETRIED


class StateChanged(ApiError):
    """412: the item is not in the state that the change is for. Read it again, and change what you read.

    When an answer is lost, the change is tried again: then the state in the way may be that of the change itself.
    """


class ItemVersion(Struct, frozen=True):
    """An item, and the tag of the state that it is in."""

    item: CatalogueItem
    etag: str


class Call(Struct, Generic[_T], frozen=True):
    """One request; `kind` is the type of its answer, None for an answer without a body."""

    method: str
    path: str
    kind: type[_T]
    params: Mapping[str, Any] = {}
    body: Any = None
    headers: Mapping[str, str] = {}

    def options(self) -> dict[str, Any]:
        """The arguments of `httpx.Client.request` beside method and path."""
        content = None if self.body is None else msgspec.json.encode(self.body)
        return {"params": self.params, "content": content, "headers": self.headers}

    def read(self, response: httpx.Response) -> _T:
        """Raises `ApiError` for an answer that is one."""
        _raise_for_error(response)
        if not response.content:
            return msgspec.convert(None, self.kind)
        return msgspec.json.decode(response.content, type=self.kind)


class VersionCall(Call[ItemVersion], frozen=True):
    """Reads an item with its tag."""

    def read(self, response: httpx.Response) -> ItemVersion:
        _raise_for_error(response)
        return ItemVersion(msgspec.json.decode(response.content, type=CatalogueItem), response.headers["etag"])


def _raise_for_error(response: httpx.Response) -> None:
    if not response.is_success:
        raise StateChanged(response) if response.status_code == _STATE_CHANGED else ApiError(response)


def recommend(user_id: str | None, *, autolog: bool = False, **options: Any) -> Call[RecommendationList]:
    headers = {"X-Autolog-Impressions": "true"} if autolog else {}
    if user_id is not None and not _POSTED & options.keys() and len(_excluded(options)) <= _MAX_IN_URL:
        return Call("GET", "/reco", RecommendationList, _params(user_id=user_id, **options), headers=headers)
    body = {name: value for name, value in options.items() if name not in ("exclude", "exclude_id")}
    body |= {"user_id": user_id, "exclude": _excluded(options)}
    return Call("POST", "/reco", RecommendationList, body=_given(body), headers=headers)


def rank(items: Sequence[str], user_id: str | None, **options: Any) -> Call[RankedList]:
    return Call("POST", "/rank", RankedList, body=_given({"items": list(items), "user_id": user_id, **options}))


def similar(item_id: str, **options: Any) -> Call[RecommendationList]:
    return Call("GET", f"/similar/{_segment(item_id)}", RecommendationList, _params(**options))


def popular(**options: Any) -> Call[RecommendationList]:
    return Call("GET", "/popular", RecommendationList, _params(**options))


def bought_together(item_id: str, **options: Any) -> Call[RecommendationList]:
    return Call("GET", f"/bought-together/{_segment(item_id)}", RecommendationList, _params(**options))


def trending(**options: Any) -> Call[RecommendationList]:
    return Call("GET", "/trending", RecommendationList, _params(**options))


def recent(user_id: str, **options: Any) -> Call[RecommendationList]:
    return Call("GET", f"/users/{_segment(user_id)}/recent", RecommendationList, _params(**options))


def buy_again(user_id: str, **options: Any) -> Call[RecommendationList]:
    return Call("GET", f"/users/{_segment(user_id)}/buy-again", RecommendationList, _params(**options))


def merge(user_id: str, anonymous_id: str) -> Call[msgspec.Raw]:
    return Call("POST", f"/users/{_segment(user_id)}/merge", msgspec.Raw, body={"anonymous_id": anonymous_id})


def put_item(
    item_id: str, item: CatalogueItemInput, *, if_match: str | None = None, only_new: bool = False
) -> Call[CatalogueItem]:
    headers = {**_of_state(if_match), **({"If-None-Match": "*"} if only_new else {})}
    return Call("PUT", f"/items/{_segment(item_id)}", CatalogueItem, body=item, headers=headers)


def get_item(item_id: str) -> Call[CatalogueItem]:
    return Call("GET", f"/items/{_segment(item_id)}", CatalogueItem)


def get_item_version(item_id: str) -> Call[ItemVersion]:
    return VersionCall("GET", f"/items/{_segment(item_id)}", ItemVersion)


def patch_item(item_id: str, changes: Mapping[str, Any], *, if_match: str | None = None) -> Call[CatalogueItem]:
    return Call("PATCH", f"/items/{_segment(item_id)}", CatalogueItem, body=changes, headers=_of_state(if_match))


def list_items(**options: Any) -> Call[ItemList]:
    return Call("GET", "/items", ItemList, _params(**options))


def declare_attribute(name: str, type: str) -> Call[dict[str, Any]]:
    return Call("PUT", f"/attributes/{_segment(name)}", dict[str, Any], body={"type": type})


def list_attributes() -> Call[dict[str, list[dict[str, Any]]]]:
    return Call("GET", "/attributes", dict[str, list[dict[str, Any]]])


def delete_attribute(name: str) -> Call[None]:
    return Call("DELETE", f"/attributes/{_segment(name)}", type(None))


def delete_item(item_id: str, *, if_match: str | None = None) -> Call[None]:
    return Call("DELETE", f"/items/{_segment(item_id)}", type(None), headers=_of_state(if_match))


def put_items(items: Sequence[CatalogueBatchItem]) -> Call[CatalogueBatchResult]:
    return Call("POST", "/items", CatalogueBatchResult, body={"items": items})


def _of_state(if_match: str | None) -> dict[str, str]:
    return {} if if_match is None else {"If-Match": if_match}


def _excluded(options: Mapping[str, Any]) -> list[str]:
    """All of both parameters: a body divides nothing at commas."""
    listed, whole = options.get("exclude") or (), options.get("exclude_id") or ()
    return [
        *(listed.split(",") if isinstance(listed, str) else listed),
        *([whole] if isinstance(whole, str) else whole),
    ]


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None and value != []}


def _params(**given: Any) -> dict[str, Any]:
    """Leaves out what was left out. A list becomes several parameters."""
    found: dict[str, Any] = {}
    for name, value in _with_whole_ids(given).items():
        if isinstance(value, bool):
            found |= {name: "true"} if value else {}
        elif isinstance(value, str) or not isinstance(value, Iterable):
            found |= {} if value is None else {name: value}
        else:
            found |= {name: list(value)} if value else {}
    return found


def _with_whole_ids(given: dict[str, Any]) -> dict[str, Any]:
    """Each entry of a list of `exclude` is one id. The service divides values of `exclude` at commas, so ids that hold
    some are sent as `exclude_id`.
    """
    listed = given.get("exclude")
    if listed is None or isinstance(listed, str):
        return given
    ids, whole = list(listed), given.get("exclude_id") or ()
    with_commas = [item_id for item_id in ids if "," in item_id]
    return {
        **given,
        "exclude": [item_id for item_id in ids if "," not in item_id],
        "exclude_id": [*([whole] if isinstance(whole, str) else whole), *with_commas],
    }


def _segment(item_id: str) -> str:
    """The id as one part of a path: whole, since dots and slashes would be resolved before it is sent."""
    return quote(item_id, safe="").replace(".", "%2E")


def _retry_after_sec(value: str | None) -> float | None:
    """Seconds; the service sends no dates."""
    if value is None or not value.isdecimal():
        return None
    return min(float(value), _MAX_RETRY_AFTER_SEC)
