"""The calls about items, their attributes and users. Each function is a method of both clients."""

from collections.abc import Sequence
from typing import Any, Final

import httpx
from msgspec import Struct

from reco_client.calls import Call, body_of, nothing
from reco_client.models import (
    CatalogueBatchItem,
    CatalogueBatchResult,
    CatalogueItem,
    CatalogueItemInput,
    ItemList,
)
from reco_client.urls import params, segment

_read_item: Final = body_of(CatalogueItem)


class ItemVersion(Struct, frozen=True):
    """An item, and the tag of the state that it is in."""

    item: CatalogueItem
    etag: str


def put_item(
    item_id: str, item: CatalogueItemInput, *, if_match: str | None = None, only_new: bool = False
) -> Call[CatalogueItem]:
    """`if_match`: only while the item is in the state of this tag. `only_new`: only if there is none. Raises
    `StateChanged`.
    """
    headers = {**_of_state(if_match), **({"If-None-Match": "*"} if only_new else {})}
    return Call("PUT", _path(item_id), _read_item, body=item, headers=headers)


def put_items(items: Sequence[CatalogueBatchItem]) -> Call[CatalogueBatchResult]:
    """Up to 1,000, all or none."""
    return Call("POST", "/items", body_of(CatalogueBatchResult), body={"items": items})


def get_item(item_id: str) -> Call[CatalogueItem]:
    """`GET /items/{item_id}`. Raises `ApiError` with status 404 for an item that is not in the catalogue."""
    return Call("GET", _path(item_id), _read_item)


def get_item_version(item_id: str) -> Call[ItemVersion]:
    """The item with its tag, for `if_match`."""
    return Call("GET", _path(item_id), _read_version)


def patch_item(item_id: str, *, if_match: str | None = None, **changes: Any) -> Call[CatalogueItem]:
    """Changes these fields, and of `attributes` those that are named; None removes a value. `if_match`: only while the
    item is in the state of this tag; raises `StateChanged`.
    """
    return Call("PATCH", _path(item_id), _read_item, body=changes, headers=_of_state(if_match))


def list_items(**options: Any) -> Call[ItemList]:
    """A page of the catalogue, the newest first. Options: title, category, filter, limit, cursor."""
    return Call("GET", "/items", body_of(ItemList), params(**options))


def delete_item(item_id: str, *, if_match: str | None = None) -> Call[None]:
    """`if_match`: only while the item is in the state of this tag; raises `StateChanged`."""
    return Call("DELETE", _path(item_id), nothing, headers=_of_state(if_match))


def declare_attribute(name: str, type: str) -> Call[None]:
    """`type`: number, text, flag, time, list or place."""
    return Call("PUT", f"/attributes/{segment(name)}", nothing, body={"type": type})


def list_attributes() -> Call[dict[str, str]]:
    """The types by name."""
    return Call("GET", "/attributes", _read_types)


def delete_attribute(name: str) -> Call[None]:
    """Ends the declaration; items keep their values."""
    return Call("DELETE", f"/attributes/{segment(name)}", nothing)


def identify(user_id: str, anonymous_id: str) -> Call[None]:
    """`POST /users/{user_id}/merge`: joins what was done under the anonymous id into the user's history. The key needs
    the scope `users`. An event with both ids does the same, with `anonymous_id`.
    """
    return Call("POST", f"/users/{segment(user_id)}/merge", nothing, body={"anonymous_id": anonymous_id})


def _path(item_id: str) -> str:
    return f"/items/{segment(item_id)}"


def _of_state(if_match: str | None) -> dict[str, str]:
    return {} if if_match is None else {"If-Match": if_match}


def _read_version(response: httpx.Response) -> ItemVersion:
    return ItemVersion(_read_item(response), response.headers["etag"])


def _read_types(response: httpx.Response) -> dict[str, str]:
    found = body_of(dict[str, list[dict[str, str]]])(response)
    return {one["name"]: one["type"] for one in found["attributes"]}
