"""What types cannot tell of a body is told together with what they can: one answer has all faults of it."""

import time
from typing import Any, Final

from app.settings import Settings
from tests.support.api import fault_paths, serving

_WHO: Final = {"user_id": "u", "session_id": "s"}
_LONG_AGO_MS: Final = 1_000_000_000_000
_LONG: Final = "x" * 129

FAULTY: Final[dict[str, tuple[str, str, dict[str, Any], list[str]]]] = {
    "a pin": (
        "PUT",
        "/rules/r",
        {"action": "pin", "item_id": "", "starts_at": "2026-01-02T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"},
        ["$.item_id", "$", "$.ends_at"],
    ),
    "a boost of two things": (
        "PUT",
        "/rules/r",
        {"action": "boost", "item_id": "i", "category": "c", "factor": 11, "ends_at": "0001-01-01T00:00:00+14:00"},
        ["$.factor", "$.ends_at", "$"],
    ),
    "a boost of what is not known": ("PUT", "/rules/r", {"action": "boost", "tag": "", "factor": 2}, ["$.tag"]),
    "a preview": (
        "POST",
        "/rules/preview",
        {"rule": {"action": "boost", "factor": "much"}, "k": 0, "at": "0001-01-01T00:00:00+14:00"},
        ["$.rule.factor", "$.k", "$.at", "$.rule"],
    ),
    "a preview of no rule": ("POST", "/rules/preview", {"rule": {"action": "lift"}, "k": 0}, ["$.rule.action", "$.k"]),
    "an event type": (
        "PUT",
        "/event-types/Shared",
        {"weight": 0, "meaning": "rejection", "pairs": True, "rating_scale": {"worst": 1, "best": "5"}},
        ["$.weight", "$.rating_scale.best", "$.name", "$.pairs", "$.rating_scale"],
    ),
    "a purchase": (
        "POST",
        "/event",
        {**_WHO, "event_type": "purchase", "item_id": "", "currency": "EUR", "ts_ms": _LONG_AGO_MS},
        ["$.item_id", "$.ts_ms", "$.currency"],
    ),
    "a purchase of a value that is wrong": (
        "POST",
        "/event",
        {**_WHO, "event_type": "purchase", "item_id": "i", "currency": "EUR", "value": "9"},
        ["$.value"],
    ),
    "an unknown event type": (
        "POST",
        "/event",
        {**_WHO, "event_type": "hover", "item_id": [], "ts_ms": "2001-09-09T01:46:40Z"},
        ["$.event_type", "$.item_id", "$.ts_ms"],
    ),
    "a rating without one": (
        "POST",
        "/event",
        {"user_id": "u", "event_type": "rating", "item_id": "i"},
        ["$", "$.rating"],
    ),
    "items": (
        "POST",
        "/items",
        {
            "items": [
                {"item_id": "", "attributes": {"no such": 1}},
                5,
                {
                    "item_id": "a",
                    "title": "",
                    "published_at": "2026-01-02T00:00:00Z",
                    "expires_at": "2026-01-01T00:00:00Z",
                },
                {"item_id": "a", "attributes": {"none": [], "wrong": None}, "tags": [[]]},
            ]
        },
        [
            "$.items[0].item_id",
            "$.items[1]",
            "$.items[2].title",
            "$.items[3].tags[0]",
            "$.items[3].attributes.wrong",
            "$.items[3].item_id",
            "$.items[0].attributes.no such",
            "$.items[2].expires_at",
            "$.items[3].attributes.none",
        ],
    ),
    "an experiment": (
        "POST",
        "/experiments",
        {
            "name": "New",
            "hypothesis": "h",
            "variants": [{"name": "newer", "share": 2, "weights": {"newness": [1, "x"]}}],
            "primary": "ctr",
        },
        ["$.variants[0].share", "$.variants[0].weights.newness[1]", "$.name"],
    ),
    "an impression": (
        "POST",
        "/log/impression",
        {
            **_WHO,
            "request_id": "",
            "items": [{"item_id": "a", "position": 1}, "b", {"position": 1}, {"item_id": "a", "position": -1}],
        },
        [
            "$.items[1]",
            "$.items[2]",
            "$.items[3].position",
            "$.request_id",
            "$.items[2].position",
            "$.items[3].item_id",
        ],
    ),
    "a cancellation": (
        "POST",
        "/event",
        {**_WHO, "event_type": "cancel", "cancels": "nothing-there", "ts_ms": _LONG_AGO_MS, "context": {"a": "\x00"}},
        ["$.ts_ms", "$.context", "$.cancels"],
    ),
    "a rating that its type does not take": (
        "POST",
        "/event",
        {**_WHO, "event_type": "rating", "item_id": "i", "rating": 9, "ts_ms": _LONG_AGO_MS, "currency": "EUR"},
        ["$.ts_ms", "$.currency", "$.rating"],
    ),
    "a batch that is none": ("POST", "/log/batch", {"events": {}, "more": 1}, ["$.events", "$"]),
    "a batch of Segment's that is none": ("POST", "/v1/batch", {"batch": 5, "sentAt": []}, ["$.batch", "$.sentAt"]),
    "an item of Gorse's": (
        "POST",
        "/api/item",
        {"ItemId": "", "Timestamp": "soon", "Categories": [f"c{number}" for number in range(51)]},
        ["$.ItemId", "$.Categories", "$.Timestamp"],
    ),
    "items of Gorse's": (
        "POST",
        "/api/items",
        [{"ItemId": "a", "Timestamp": "soon"}, 5, {"ItemId": "b"}, {"IsHidden": "no", "Timestamp": "later"}],
        ["$[0].Timestamp", "$[1]", "$[3]", "$[3].IsHidden", "$[3].Timestamp"],
    ),
    "a change of an item of Gorse's": (
        "PATCH",
        "/api/item/a",
        {"IsHidden": 5, "Timestamp": "soon", "Categories": [f"c{number}" for number in range(51)]},
        ["$.IsHidden", "$.Timestamp", "$.Categories"],
    ),
    "feedback of Gorse's": (
        "POST",
        "/api/feedback",
        [{"FeedbackType": "zap", "UserId": "", "ItemId": "i", "Timestamp": "soon"}],
        ["$[0].UserId", "$[0].FeedbackType", "$[0].Timestamp"],
    ),
}


async def test_faults_of_types_and_of_meaning_come_in_one_answer(settings: Settings) -> None:
    async with serving(settings, gorse_api=True) as client:
        answers = {
            name: await client.request(method, path, json=body) for name, (method, path, body, _) in FAULTY.items()
        }
    assert {name: fault_paths(answer) for name, answer in answers.items()} == {
        name: paths for name, (*_, paths) in FAULTY.items()
    }


async def test_a_time_is_judged_by_the_clock_of_the_device_beside_another_fault(settings: Settings) -> None:
    sent_ms = time.time_ns() // 1_000_000 - 30 * 24 * 3_600_000
    event = {**_WHO, "event_type": "click", "item_id": "", "ts_ms": sent_ms - 1_000, "sent_at": sent_ms}
    async with serving(settings) as client:
        (result,) = (await client.post("/log/batch", json=[event])).json()["results"]
    assert [error["path"] for error in result["errors"]] == ["$.item_id"]


async def test_a_message_of_segments_tells_all_of_its_faults(settings: Settings) -> None:
    faulty = {
        "userId": _LONG,
        "event": "Order Completed",
        "timestamp": "yesterday",
        "context": 5,
        "properties": {"request_id": True, "products": [{}, {"product_id": "i"}]},
    }
    late = {
        "userId": "u",
        "event": "Order Completed",
        "timestamp": "2001-01-01T00:00:00Z",
        "properties": {"products": [{"product_id": "a"}, {"product_id": "b"}, {"product_id": []}]},
    }
    unrated = {"userId": "u", "event": "Product Reviewed", "properties": {"product_id": "a", "rating": 9}}
    linked = {"userId": _LONG, "anonymousId": True}
    async with serving(settings) as client:
        answers = [
            (await client.post(path, json=message)).json()
            for path, message in (
                ("/v1/track", faulty),
                ("/v1/track", late),
                ("/v1/track", unrated),
                ("/v1/identify", linked),
            )
        ]
    assert [(answer["invalid"], [error["path"] for error in answer["errors"]]) for answer in answers] == [
        (
            1,
            [
                "$.context",
                "$.userId",
                "$.properties.request_id",
                "$.timestamp",
                "$.properties.products[0].product_id",
            ],
        ),
        (3, ["$.properties.products[2].product_id", "$.timestamp"]),
        (1, ["$.properties.rating"]),
        (1, ["$.anonymousId", "$.userId"]),
    ]
