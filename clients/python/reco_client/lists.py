"""The calls that answer lists of items. Each function is a method of both clients."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from reco_client.calls import Call, body_of
from reco_client.models import RankedList, RecommendationList
from reco_client.urls import params, segment

# What a URL cannot say, and how many ids make it too long.
_POSTED: Final = frozenset({"history", "candidates", "context"})
_MAX_IN_URL: Final = 100
_read_list: Final = body_of(RecommendationList)
_read_ranked: Final = body_of(RankedList)


def recommend(user_id: str | None, *, autolog: bool = False, **options: Any) -> Call[RecommendationList]:
    """`GET /reco`. Options: k, session_id, category, exclude, exclude_id, exclude_seen, repeats, filter,
    max_per_category, explain, cursor, variant, and `autolog=True` to have the answer logged as an impression.

    `POST /reco` with what a URL has no place for: `history` (what somebody unknown did, the latest first, as
    `{"item_id": …, "event_type": …}`), `candidates`, the impression's `context`, many exclusions, or no user.
    """
    headers = {"X-Autolog-Impressions": "true"} if autolog else {}
    if user_id is not None and not _POSTED & options.keys() and len(_excluded(options)) <= _MAX_IN_URL:
        return Call("GET", "/reco", _read_list, params(user_id=user_id, **options), headers=headers)
    body = {name: value for name, value in options.items() if name not in ("exclude", "exclude_id")}
    body |= {"user_id": user_id, "exclude": _excluded(options)}
    return Call("POST", "/reco", _read_list, body=_given(body), headers=headers)


def rank(items: Sequence[str], user_id: str | None = None, **options: Any) -> Call[RankedList]:
    """`POST /rank`: up to 1,000 items of yours, the best for the user first. Options: session_id, history, category,
    filter, explain, variant.
    """
    return Call("POST", "/rank", _read_ranked, body=_given({"items": list(items), "user_id": user_id, **options}))


def similar(item_id: str, **options: Any) -> Call[RecommendationList]:
    """`GET /similar/{item_id}`. Options: those of `popular`."""
    return _get(f"/similar/{segment(item_id)}", options)


def popular(**options: Any) -> Call[RecommendationList]:
    """`GET /popular`. Options: k, category, exclude, exclude_id, max_per_category, filter, explain, cursor."""
    return _get("/popular", options)


def bought_together(item_id: str, **options: Any) -> Call[RecommendationList]:
    """`GET /bought-together/{item_id}`. Options: those of `popular`."""
    return _get(f"/bought-together/{segment(item_id)}", options)


def trending(**options: Any) -> Call[RecommendationList]:
    """`GET /trending`. Options: window (`hour`, `day` or `week`), and those of `popular`."""
    return _get("/trending", options)


def recent(user_id: str, **options: Any) -> Call[RecommendationList]:
    """`GET /users/{user_id}/recent`. Options: did, session_id, and those of `popular`."""
    return _get(f"/users/{segment(user_id)}/recent", options)


def buy_again(user_id: str, **options: Any) -> Call[RecommendationList]:
    """`GET /users/{user_id}/buy-again`. Options: those of `popular`."""
    return _get(f"/users/{segment(user_id)}/buy-again", options)


def _get(path: str, options: Mapping[str, Any]) -> Call[RecommendationList]:
    return Call("GET", path, _read_list, params(**options))


def _excluded(options: Mapping[str, Any]) -> list[str]:
    """All of both parameters: a body divides nothing at commas."""
    listed, whole = options.get("exclude") or (), options.get("exclude_id") or ()
    return [
        *(listed.split(",") if isinstance(listed, str) else listed),
        *([whole] if isinstance(whole, str) else whole),
    ]


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None and value != []}
