"""Event types through the API: stored, listed, changed, and refused by path; and the numbers of events."""

from typing import Any, Final

import httpx
import pytest

from app.settings import Settings
from tests.support.api import serving

_WISH: Final = {"weight": 0.6, "meaning": "interest"}
_BAD_EVENTS: Final[list[tuple[str, dict[str, Any], str]]] = [
    ("hover", {}, "$.event_type"),
    ("rating", {}, "$.rating"),
    ("rating", {"rating": 6}, "$.rating"),
    ("purchase", {"currency": "EUR"}, "$.currency"),
    ("purchase", {"value": 1, "currency": "euro"}, "$.currency"),
    ("cart", {"quantity": 0}, "$.quantity"),
    ("cart", {"value": -1}, "$.value"),
    ("cancel", {"cancels": "event-of-nobody"}, "$.cancels"),
]
_BAD_TYPES: Final[list[tuple[str, dict[str, Any], set[str]]]] = [
    ("view", _WISH, {"$.name"}),
    ("Wish", _WISH, {"$.name"}),
    ("wish", {**_WISH, "weight": 0}, {"$.weight"}),
    ("wish", {"weight": 9, "meaning": "love"}, {"$.weight", "$.meaning"}),
    ("wish", {"weight": 1, "meaning": "rejection", "pairs": True}, {"$.pairs"}),
    ("wish", {**_WISH, "rating_scale": {"worst": 1, "best": 1}}, {"$.rating_scale.best"}),
]


def wrong(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 422, answer.text
    return {error["path"] for error in answer.json()["errors"]}


async def test_what_is_wrong_with_a_type_or_an_event_of_it_is_named_by_path(settings: Settings) -> None:
    async with serving(settings) as client:
        for event_type, more, path in _BAD_EVENTS:
            body = {"user_id": "ann", "session_id": "s", "event_type": event_type, **more}
            body |= {} if event_type == "cancel" else {"item_id": "tent"}
            assert wrong(await client.post("/event", json=body)) == {path}, body
        for name, body, paths in _BAD_TYPES:
            assert wrong(await client.put(f"/event-types/{name}", json=body)) == paths, body
        for name, why in (("interest", "meaning of its own"), ("watch", "type of the service"), ("Ä", "small letter")):
            (error,) = (await client.put(f"/event-types/{name}", json=_WISH)).json()["errors"]
            assert why in error["message"]


async def test_types_are_listed_and_those_that_come_with_the_service_can_be_changed(settings: Settings) -> None:
    async with serving(settings) as client:
        listed = (await client.get("/event-types")).json()
        assert [one["name"] for one in listed["types"]] == ["cart", "dislike", "hide", "like", "rating", "share"]
        assert listed["fixed"] == ["view", "click", "purchase", "watch", "impression", "cancel"]
        changed = await client.put("/event-types/cart", json={"weight": 1, "meaning": "interest"})
        assert changed.status_code == 200
        assert (await client.get("/event-types/cart")).json() == changed.json()
        assert (await client.delete("/event-types/cart")).status_code == 204
        assert (await client.get("/event-types/cart")).json()["updated_at"] is None
        assert (await client.delete("/event-types/cart")).status_code == 404
        assert (await client.get("/event-types/view")).status_code == 404
        for status in (201, 200):
            assert (await client.put("/event-types/wish", json=_WISH)).status_code == status
        assert (await client.delete("/event-types/wish")).status_code == 204
        assert (await client.put("/event-types/wish", json=_WISH)).status_code == 201


@pytest.mark.parametrize("event_type", ["hover", "rating"])
async def test_a_past_event_that_cannot_be_is_named(settings: Settings, event_type: str) -> None:
    history = [{"item_id": "tent", "event_type": "like"}, {"item_id": "mat", "event_type": event_type}]
    async with serving(settings) as client:
        path = "$.history[1].rating" if event_type == "rating" else "$.history[1].event_type"
        assert wrong(await client.post("/reco", json={"history": history})) == {path}
        history[1] |= {"event_type": "rating", "rating": 4}
        assert (await client.post("/reco", json={"history": history})).status_code == 200
