"""What a client asks the service for: lists, and changes of the catalogue."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from reco_client import calls
from reco_client.calls import Call, ItemVersion
from reco_client.models import (
    CatalogueBatchItem,
    CatalogueBatchResult,
    CatalogueItem,
    CatalogueItemInput,
    ItemList,
    RankedList,
    RecommendationList,
)

_T = TypeVar("_T")


class ServiceCalls:
    """The calls of a client, which has the connection."""

    def _call(self, call: Call[_T]) -> _T:
        raise NotImplementedError

    def recommend(self, user_id: str | None, **options: Any) -> RecommendationList:
        """`GET /reco`. Options: k, session_id, category, exclude, exclude_id, exclude_seen, repeats, filter,
        max_per_category, explain, cursor, variant, and `autolog=True` to have the answer logged as an impression.

        `POST /reco` with what a URL has no place for: `history` (what somebody unknown did, the latest first, as
        `{"item_id": …, "event_type": …}`), `candidates`, the impression's `context`, many exclusions, or no user.
        """
        return self._call(calls.recommend(user_id, **options))

    def rank(self, items: Sequence[str], user_id: str | None = None, **options: Any) -> RankedList:
        """`POST /rank`: up to 1,000 items of yours, the best for the user first. Options: session_id, history,
        category, filter, explain, variant.
        """
        return self._call(calls.rank(items, user_id, **options))

    def similar(self, item_id: str, **options: Any) -> RecommendationList:
        """`GET /similar/{item_id}`. Options: k, category, exclude, exclude_id, max_per_category, filter,
        explain, cursor.
        """
        return self._call(calls.similar(item_id, **options))

    def popular(self, **options: Any) -> RecommendationList:
        """`GET /popular`. Options: k, category, exclude, exclude_id, max_per_category, filter,
        explain, cursor.
        """
        return self._call(calls.popular(**options))

    def bought_together(self, item_id: str, **options: Any) -> RecommendationList:
        """`GET /bought-together/{item_id}`. Options: those of `popular`."""
        return self._call(calls.bought_together(item_id, **options))

    def trending(self, **options: Any) -> RecommendationList:
        """`GET /trending`. Options: window (`hour`, `day` or `week`), and those of `popular`."""
        return self._call(calls.trending(**options))

    def recent(self, user_id: str, **options: Any) -> RecommendationList:
        """`GET /users/{user_id}/recent`. Options: did, session_id, and those of `popular`."""
        return self._call(calls.recent(user_id, **options))

    def buy_again(self, user_id: str, **options: Any) -> RecommendationList:
        """`GET /users/{user_id}/buy-again`. Options: those of `popular`."""
        return self._call(calls.buy_again(user_id, **options))

    def identify(self, user_id: str, anonymous_id: str) -> None:
        """`POST /users/{user_id}/merge`: joins what was done under the anonymous id into the user's history. The key
        needs the scope `users`. An event with both ids does the same, with `anonymous_id`.
        """
        self._call(calls.merge(user_id, anonymous_id))

    def put_item(
        self, item_id: str, item: CatalogueItemInput, *, if_match: str | None = None, only_new: bool = False
    ) -> CatalogueItem:
        """`if_match`: only while the item is in the state of this tag. `only_new`: only if there is none. Raises
        `StateChanged`.
        """
        return self._call(calls.put_item(item_id, item, if_match=if_match, only_new=only_new))

    def put_items(self, items: list[CatalogueBatchItem]) -> CatalogueBatchResult:
        """Up to 1,000, all or none."""
        return self._call(calls.put_items(items))

    def get_item(self, item_id: str) -> CatalogueItem:
        return self._call(calls.get_item(item_id))

    def get_item_version(self, item_id: str) -> ItemVersion:
        """The item with its tag, for `if_match`."""
        return self._call(calls.get_item_version(item_id))

    def patch_item(self, item_id: str, *, if_match: str | None = None, **changes: Any) -> CatalogueItem:
        """Changes these fields, and of `attributes` those that are named; None removes a value. `if_match`: only while
        the item is in the state of this tag; raises `StateChanged`.
        """
        return self._call(calls.patch_item(item_id, changes, if_match=if_match))

    def update_item(
        self, item_id: str, change: Callable[[CatalogueItem], Mapping[str, Any]], *, tries: int = 5
    ) -> CatalogueItem:
        """Patches the item with what `change` makes of it: again, from the new state, where somebody else was faster.
        Raises `StateChanged` after so many tries.
        """
        while True:
            version = self.get_item_version(item_id)
            tries -= 1
            try:
                return self.patch_item(item_id, if_match=version.etag, **change(version.item))
            except calls.StateChanged:
                if tries <= 0:
                    raise

    def list_items(self, **options: Any) -> ItemList:
        """A page of the catalogue, the newest first. Options: title, category, filter, limit, cursor."""
        return self._call(calls.list_items(**options))

    def declare_attribute(self, name: str, type: str) -> None:
        """`type`: number, text, flag, time, list or place."""
        self._call(calls.declare_attribute(name, type))

    def list_attributes(self) -> dict[str, str]:
        """The types by name."""
        found = self._call(calls.list_attributes())
        return {one["name"]: one["type"] for one in found["attributes"]}

    def delete_attribute(self, name: str) -> None:
        self._call(calls.delete_attribute(name))

    def delete_item(self, item_id: str, *, if_match: str | None = None) -> None:
        """`if_match`: only while the item is in the state of this tag; raises `StateChanged`."""
        self._call(calls.delete_item(item_id, if_match=if_match))
